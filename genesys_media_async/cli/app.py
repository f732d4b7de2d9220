"""The commands and their options, by cyclopts: thin, so that another framework would change this file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter, validators

from ..settings.version import VERSION
from .commands.simulate import QuotaKind  # noqa: TC001 - likewise
from .exit_codes import CommandFailed, ExitCode, explain
from .output.formats import Format  # noqa: TC001 - cyclopts reads the annotations
from .output.progress import ProgressKind  # noqa: TC001 - likewise
from .output.streams import PROGRAM, complain
from .sources import DEFAULT_SOURCE, FORMATS, SOURCES, explain_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

DEMO_FILE = "genesys-media-demo.jsonl"
DEMO_ITEMS = 2_000

ABOUT = """\
Thousands of Genesys Cloud media ids in, validated pre-signed download URLs out: within quota, losing none.

Data goes to standard output or the file named, everything else to standard error."""

EXAMPLES = f"""\
Examples:
  genesys-media demo                                 see it work; no credentials
  genesys-media doctor                               is everything there?
  genesys-media retrieve -i ids.txt -o urls.jsonl    retrieve a file of ids
  genesys-media simulate                             a local Genesys Cloud

Exit codes:
{explain()}"""

DEMO_EXAMPLES = """\
Examples:
  genesys-media demo
  genesys-media demo --items 600 --output /tmp/demo.jsonl --progress log"""

CREDENTIALS = """\
Credentials come from the environment only, since everybody on a machine can see
its command lines. They are those of an OAuth client with the Client Credentials
grant, or an access token instead of both:
  export GENESYSCLOUD_OAUTHCLIENT_ID=… GENESYSCLOUD_OAUTHCLIENT_SECRET=…
  export GENESYSCLOUD_ACCESS_TOKEN=…"""

RETRIEVE_EXAMPLES = f"""\
{CREDENTIALS}

Ids have the parts that their source needs, with slashes between:
{explain_sources()}
A file may be CSV instead, with ',' ';' or tab: a header names those parts, in
any order, and other columns are passed over; without one there are just the parts.

Examples:
  genesys-media retrieve 5a0d7a9e-6f1c-4f0e-9d5b-0d8f3c1f1b11
  genesys-media retrieve -i ids.txt -o urls.jsonl --audit audit.jsonl
  genesys-media retrieve -i ids.txt --format urls | aria2c -i -
  cat ids.txt | genesys-media retrieve -i - --format csv -o urls.csv
  genesys-media retrieve --source document 1d2c9a0e-6f1c-4f0e-9d5b-0d8f3c1f1b11
  genesys-media retrieve --source transcript -i conversations.csv -o urls.jsonl

The first Ctrl-C lets what is on its way come to its end, for 10 s at most; the
second stops at once.

Exit codes:
{explain()}"""

DISCOVER_EXAMPLES = f"""\
{CREDENTIALS}

Found are conversations that were active in the interval and have a recorded
call; with --media those of these media. The OAuth client needs the permission
analytics:conversationDetail:view.

Examples:
  genesys-media discover --from 2026-11-23T00:00+01:00 --to 2026-11-24T00:00+01:00
  genesys-media discover --from 2026-11-01T00:00Z --queue 4f0e9d5b-… --media voice

Exit codes:
{explain()}"""

DOCTOR_EXAMPLES = f"""\
{CREDENTIALS}

Examples:
  genesys-media doctor
  genesys-media doctor --source document --source transcript
  genesys-media doctor --json | jq -r '.findings[] | select(.verdict=="problem").repair'

The exit code is 0 if there is no problem:
{explain()}"""

SIMULATE_EXAMPLES = """\
Examples:
  genesys-media simulate
  genesys-media simulate --port 9000 --quota 30/6 --fault server-error-503=0.02
  genesys-media simulate --quota none --client my-client:my-secret"""


def _not_an_option(_: object, value: object) -> None:
    # A lone hyphen is a stream; "-i -o file" is an -i without its file.
    if isinstance(value, str) and value.startswith("-") and value != "-":
        raise ValueError(f"{value} looks like an option; write ./{value} if it is a file.")


def _stream_or_file(*names: str, help_text: str) -> Parameter:
    return Parameter(
        name=list(names), metavar="FILE", help=help_text, allow_leading_hyphen=True, validator=_not_an_option
    )


INPUT = _stream_or_file("--input", "-i", help_text="A file of further ids, UTF-8, one a line; - is standard input.")
OUTPUT = _stream_or_file(
    "--output",
    "-o",
    help_text="The file for the results, overwritten if it exists. A new one is readable for you alone, since whoever "
    "has a URL can download the medium. - or nothing is standard output.",
)
FORMAT = Parameter(
    help="jsonl: a JSON object a line. csv: RFC 4180 with a header; a cell that begins with = + - @ tab or CR, which a "
    "spreadsheet could take for a formula, gets a ' before it. urls: the bare URLs of what was retrieved."
)
PROGRESS = Parameter(
    help="On standard error. auto: bar on a terminal, log otherwise. log: a line every 5 s. json: an object every "
    "second, then the summary as one. none: nothing but errors."
)
DISCOVER_PROGRESS = Parameter(
    help="On standard error. log: a line every 5 s, then a summary. json: an object every second, then the summary as "
    "one. none: nothing but errors."
)
SOURCE = Parameter(metavar="NAME", help=f"What the ids are of: {', '.join(SOURCES)}.")
MEDIA_FORMAT = Parameter(
    metavar="FORMAT", help=f"What a recording is transcoded to, where the source can do that: {', '.join(FORMATS)}."
)
BY = Parameter(
    help="query: quick, and up to now. job: for many conversations. auto: the query for few of at most 31 days."
)
QUOTA = Parameter(
    metavar="REQUESTS/SECONDS",
    help="The requests allowed for the token, or none: 300/60 unless GENESYS_MEDIA_QUOTA says otherwise. Name a lower "
    "one if other programs use the same token.",
)
AUDIT = Parameter(
    metavar="FILE",
    help="A file to append an audit record to for every attempt, as JSON lines; the run stops if it cannot be written.",
)
WEBHOOK = Parameter(
    metavar="URL",
    help="Where to post media.url.generated for every id retrieved, in the background.",
)
WEBHOOK_WITH_URL = Parameter(
    help="Let the webhooks carry the pre-signed URL: whoever receives them can download the media."
)
UNDELIVERED = Parameter(metavar="FILE", help="A file to append the webhooks to that could not be delivered.")

QUOTA_KIND = Parameter(
    help="fixed: a window opens with a request. aligned: windows begin with the minute. sliding: counted back from "
    "each request."
)

Seconds = Annotated[str | None, Parameter(metavar="SECONDS")]
Region = Annotated[
    str | None,
    Parameter(metavar="NAME", help="Such as eu-central-1 or mypurecloud.de: us-east-1, or GENESYSCLOUD_REGION."),
]
BaseUrl = Annotated[
    str | None,
    Parameter(metavar="URL", help="The API where it does not follow from the region, or GENESYS_MEDIA_BASE_URL."),
]
LoginUrl = Annotated[
    str | None, Parameter(metavar="URL", help="The login service likewise, or GENESYS_MEDIA_LOGIN_URL.")
]
Number = Annotated[str | None, Parameter(metavar="N")]
Word = Annotated[str | None, Parameter(metavar="NAME")]


app = App(
    name=PROGRAM,
    help=ABOUT,
    help_epilogue=EXAMPLES,
    help_format="plaintext",
    version=VERSION,
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    print_error=False,
    exit_on_error=False,
    default_parameter=Parameter(negative=()),
)


def run(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name, and return its exit code."""
    try:
        result: object = app(list(arguments))
    except CommandFailed as error:
        complain(str(error))
        return error.code
    except CycloptsError as error:
        complain(f"{error} See --help.")
        return ExitCode.USAGE
    return result if isinstance(result, int) else ExitCode.ALL_RETRIEVED


@app.command(help_epilogue=DEMO_EXAMPLES)
def demo(
    *,
    items: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1_000_000))] = DEMO_ITEMS,
    output: Annotated[str, Parameter(name=["--output", "-o"], metavar="FILE")] = DEMO_FILE,
    progress: Annotated[ProgressKind, PROGRESS] = "auto",
) -> int:
    """
    Retrieve made-up ids from a simulated Genesys Cloud in this process; needs no credentials and no network.

    The quota is Genesys's own, 300 requests in a window, but a window lasts 1.5 s instead of a minute.

    Parameters
    ----------
    items
        How many ids; 2000 take about ten seconds.
    output
        The file for the results, as JSON lines; an existing one is overwritten.
    """
    from .commands.demo import demo as carry_out

    return carry_out(items, output, progress)


@app.command(help_epilogue=RETRIEVE_EXAMPLES)
def retrieve(
    *ids: str,
    source: Annotated[str, SOURCE] = DEFAULT_SOURCE,
    media_format: Annotated[str | None, MEDIA_FORMAT] = None,
    input: Annotated[str | None, INPUT] = None,  # noqa: A002
    output: Annotated[str | None, OUTPUT] = None,
    format: Annotated[Format, FORMAT] = "jsonl",  # noqa: A002
    quota: Annotated[str | None, QUOTA] = None,
    expires_in: Seconds = None,
    access_level: Word = None,
    concurrency: Number = None,
    deadline: Seconds = None,
    timeout: Seconds = None,
    region: Region = None,
    base_url: BaseUrl = None,
    login_url: LoginUrl = None,
    audit: Annotated[str | None, AUDIT] = None,
    webhook: Annotated[str | None, WEBHOOK] = None,
    webhook_with_url: Annotated[bool, WEBHOOK_WITH_URL] = False,
    undelivered: Annotated[str | None, UNDELIVERED] = None,
    content_type: Annotated[list[str] | None, Parameter(metavar="PATTERN")] = None,
    host: Annotated[list[str] | None, Parameter(metavar="HOST")] = None,
    progress: Annotated[ProgressKind, PROGRESS] = "auto",
) -> int:
    """
    Retrieve a pre-signed download URL for each id, one line a result.

    There is exactly one result for each id, in the order in which they are done; an id that fails is a result, too.
    Where an id stands for several media, each of them has its result, with a media_id.

    Parameters
    ----------
    ids
        Media ids; an id that begins with a hyphen comes after --.
    expires_in
        The life of each URL, 1 to 86400: 3600 unless GENESYS_MEDIA_EXPIRES_IN says otherwise.
    access_level
        The access level to ask for, or GENESYS_MEDIA_ACCESS_LEVEL.
    concurrency
        How many ids are worked on at once at most: auto unless GENESYS_MEDIA_CONCURRENCY says otherwise.
    deadline
        What one call may take with all its attempts and waits: 600, or GENESYS_MEDIA_DEADLINE.
    timeout
        What one request may take: 30, or GENESYS_MEDIA_TIMEOUT.
    content_type
        A content type to accept, such as audio/*; may be repeated. Without it audio, video and images pass.
    host
        A host that URLs may point to, such as *.example.com; may be repeated. Without it every host passes.
    """
    from .commands.retrieve import Order
    from .commands.retrieve import retrieve as carry_out

    return carry_out(
        Order(
            ids=ids,
            source=source,
            media_format=media_format,
            input=input,
            output=output,
            format=format,
            progress=progress,
            options=_typed(
                quota=quota,
                expires_in=expires_in,
                access_level=access_level,
                concurrency=concurrency,
                deadline=deadline,
                timeout=timeout,
                region=region,
                base_url=base_url,
                login_url=login_url,
            ),
            audit=audit,
            webhook=webhook,
            webhook_with_url=webhook_with_url,
            undelivered=undelivered,
            content_types=content_type or (),
            hosts=host or (),
        )
    )


@app.command(help_epilogue=DISCOVER_EXAMPLES)
def discover(
    *,
    begin: Annotated[str, Parameter(name="--from", metavar="TIME")],
    end: Annotated[str | None, Parameter(name="--to", metavar="TIME")] = None,
    queue: Annotated[list[str] | None, Parameter(metavar="ID")] = None,
    media: Annotated[list[str] | None, Parameter(metavar="TYPE")] = None,
    direction: Literal["inbound", "outbound"] | None = None,
    division: Annotated[list[str] | None, Parameter(metavar="ID")] = None,
    by: Annotated[Literal["auto", "query", "job"], BY] = "auto",
    quota: Annotated[str | None, QUOTA] = None,
    deadline: Seconds = None,
    timeout: Seconds = None,
    region: Region = None,
    base_url: BaseUrl = None,
    login_url: LoginUrl = None,
    progress: Annotated[Literal["log", "json", "none"], DISCOVER_PROGRESS] = "log",
) -> int:
    """
    Find the conversations of an interval: their ids on standard output, one a line, for retrieve -i -.

    Parameters
    ----------
    begin
        The beginning of the interval, in ISO 8601 with its zone, as in 2026-11-23T00:00Z.
    end
        Its end, likewise; now, if it is left out.
    queue
        The id of a queue; may be repeated.
    media
        A media type of Genesys's, such as voice, chat, email or message; may be repeated.
    direction
        Who began the conversation.
    division
        The id of a division; may be repeated.
    deadline
        What one request may take with all its attempts and waits: 600, or GENESYS_MEDIA_DEADLINE.
    timeout
        What one attempt may take: 30, or GENESYS_MEDIA_TIMEOUT.
    """
    from .commands.discover import Order
    from .commands.discover import discover as carry_out

    return carry_out(
        Order(
            begin=begin,
            end=end,
            queues=queue or (),
            media=media or (),
            direction=direction,
            divisions=division or (),
            by=by,
            progress=progress,
            options=_typed(
                quota=quota,
                deadline=deadline,
                timeout=timeout,
                region=region,
                base_url=base_url,
                login_url=login_url,
            ),
        )
    )


@app.command(help_epilogue=DOCTOR_EXAMPLES)
def doctor(
    *,
    source: Annotated[list[str] | None, SOURCE] = None,
    json: bool = False,
    quota: Annotated[str | None, QUOTA] = None,
    timeout: Seconds = None,
    region: Region = None,
    base_url: BaseUrl = None,
    login_url: LoginUrl = None,
) -> int:
    """
    Look whether everything is there that a run needs: network, token, clock, permissions, quota.

    It makes about a dozen requests about what does not exist, and retrieves nothing.

    Parameters
    ----------
    source
        A source that is to be used, whose refusal is a problem; may be repeated. Without it all of them are looked at,
        and a refusal is a warning.
    json
        Write one JSON object instead of a table.
    timeout
        What one request may take: 30, or GENESYS_MEDIA_TIMEOUT.
    """
    from .commands.doctor import Order
    from .commands.doctor import doctor as carry_out

    options = _typed(quota=quota, timeout=timeout, region=region, base_url=base_url, login_url=login_url)
    return carry_out(Order(sources=source or (), as_json=json, options=options))


@app.command(help_epilogue=SIMULATE_EXAMPLES)
def simulate(
    *,
    host: Annotated[str, Parameter(metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, Parameter(metavar="N", validator=validators.Number(gte=0, lte=65_535))] = 8080,
    quota: Annotated[str, Parameter(metavar="REQUESTS/SECONDS")] = "300/60",
    quota_kind: Annotated[QuotaKind, QUOTA_KIND] = "fixed",
    quota_headers: bool = False,
    latency: Annotated[float, Parameter(metavar="SECONDS")] = 0.0,
    fault: Annotated[list[str] | None, Parameter(metavar="NAME=PROBABILITY")] = None,
    token_life: Annotated[float, Parameter(metavar="SECONDS")] = 86_400.0,
    client: Annotated[list[str] | None, Parameter(metavar="ID:SECRET")] = None,
) -> int:
    """
    Run a simulated Genesys Cloud on this machine until Ctrl-C: login service, API, files and a webhook receiver.

    Ids that begin with missing- are answered 404, those with forbidden- 403; all others have a file.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on; 0 is any free one.
    quota
        The requests allowed for each token, or none.
    quota_headers
        Let replies carry the inin-ratelimit-* headers.
    latency
        The time that every reply of the API takes.
    fault
        How often which fault happens, as in server-error-503=0.05; may be repeated.
    token_life
        How long a token lives.
    client
        An OAuth client; may be repeated. Without it there is demo-client:demo-secret.
    """
    from .commands.simulate import Order
    from .commands.simulate import simulate as carry_out

    return carry_out(
        Order(
            host=host,
            port=port,
            quota=quota,
            quota_kind=quota_kind,
            quota_headers=quota_headers,
            latency=latency,
            faults=fault or (),
            token_life=token_life,
            clients=client or (),
        )
    )


def _typed(**options: str | None) -> dict[str, str]:
    return {name: text for name, text in options.items() if text is not None}
