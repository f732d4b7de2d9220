"""Pre-signed URLs: their expiry in each style, and the check of their signatures."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from genesys_media_async.simulator.signing import Signer, Verdict
from tests.support.virtual_simulators import DOWNLOAD, bare_get, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.simulator import Simulator


def test_a_signed_url_is_valid_until_its_expiry() -> None:
    signer = Signer(b"key")
    target = urlsplit(signer.sign("/media/a/a.wav", 100))
    assert signer.check(target.path, target.query, 99.9) is Verdict.GOOD
    assert signer.check(target.path, target.query, 100.0) is Verdict.EXPIRED


@pytest.mark.parametrize(
    ("path", "query", "verdict"),
    [
        ("/media/b/a.wav", "Expires=100&Signature={s}", Verdict.CHANGED),
        ("/media/a/b.wav", "Expires=100&Signature={s}", Verdict.CHANGED),
        ("/media/a/a.wav", "Expires=101&Signature={s}", Verdict.CHANGED),
        ("/media/a/a.wav", "Expires=0100&Signature={s}", Verdict.CHANGED),
        ("/media/a/a.wav", "Expires=100&Signature={s}0", Verdict.CHANGED),
        ("/media/a/a.wav", "Expires=100&Signature=", Verdict.CHANGED),
        ("/media/a/a.wav", "Expires=100&Signature=%C3%A4", Verdict.CHANGED),
        ("/media/a/a.wav", "Expires=100", Verdict.UNSIGNED),
        ("/media/a/a.wav", "Signature={s}", Verdict.UNSIGNED),
        ("/media/a/a.wav", "Expires=100&Expires=100&Signature={s}", Verdict.UNSIGNED),
        ("/media/a/a.wav", "", Verdict.UNSIGNED),
    ],
)
def test_a_change_to_any_signed_part_is_detected(path: str, query: str, verdict: Verdict) -> None:
    signer = Signer(b"key")
    signature = parse_qs(urlsplit(signer.sign("/media/a/a.wav", 100)).query)["Signature"][0]
    assert signer.check(path, query.format(s=signature), 50.0) is verdict
    assert Signer(b"other").check("/media/a/a.wav", f"Expires=100&Signature={signature}", 50.0) is Verdict.CHANGED


@pytest.mark.parametrize("style", ["cloudfront", "cloudfront-policy", "s3"])
def test_a_url_states_its_expiry_in_the_style_of_its_family(style: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = DOWNLOAD.format(simulator.organization.platform_download_ids()[0])
        url = (await http.get(path, params={"issueRedirect": "false"})).json()["url"]
        await clock.sleep(3600.0 - 1.0)
        early = (await bare_get(http, url)).status_code
        await clock.sleep(1.0)
        late = await bare_get(http, url)
        assert "Request has expired" in late.text
        return parse_qs(urlsplit(url).query), early, late.status_code

    (query, early, late), _ = in_virtual_time(scenario, url_styles={"platform-download": style})
    assert (early, late) == (200, 403)
    expiry = 1_700_000_000 + 3600
    if style == "cloudfront":
        assert query["Expires"] == [str(expiry)]
    elif style == "s3":
        date = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert date.timestamp() + int(query["X-Amz-Expires"][0]) == expiry
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    else:
        policy = json.loads(base64.b64decode(query["Policy"][0].translate(str.maketrans("-_~", "+=/"))))
        assert policy["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"] == expiry
        assert "Expires" not in query


@pytest.mark.parametrize("style", ["s3", "cloudfront-policy"])
def test_a_change_to_the_signed_part_of_any_style_is_detected(style: Any) -> None:
    signer = Signer(b"key")
    target = urlsplit(signer.sign("/media/a/a.wav", 1_700_000_060, style=style, lifetime=60))
    query = target.query
    assert signer.check(target.path, query, 1_700_000_059.9) is Verdict.GOOD
    assert signer.check(target.path, query, 1_700_000_060.0) is Verdict.EXPIRED
    assert signer.check("/media/b/a.wav", query, 0.0) is Verdict.CHANGED
    part = "X-Amz-Expires=60" if style == "s3" else "Policy=ey"
    assert part in query
    assert signer.check(target.path, query.replace(part, f"{part}0"), 0.0) is Verdict.CHANGED
    name = part.partition("=")[0]
    assert signer.check(target.path, query.replace(f"{name}=", "x="), 0.0) in (Verdict.UNSIGNED, Verdict.CHANGED)
    assert signer.check(target.path, f"{query}&{name}=1", 0.0) is Verdict.UNSIGNED
