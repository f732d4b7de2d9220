"""
The whole cloud without its network: which part a request is for, in which order it is judged, and what is counted.

An API request is judged in this order: path and method, bearer token, the token's quota, the resource's, fault,
permissions, then its own content. So a 401 is never charged, a fault is met only by a request that paid, and a 429 of a
quota uses up no scripted fault. A request that its resource's quota refuses has paid the token's. Pure and
synchronous but for the reading of the clock; a carrier calls `handle`, sends the reply, and calls `settle`.
"""

from __future__ import annotations

import math
import random
import secrets
from collections import defaultdict, deque
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING

from .analytics import Analytics
from .batch import BatchJobs
from .counts import Counts
from .derivation import Derivation, random_uuid
from .documents import Documents
from .download_url import DownloadUrlEndpoint
from .downloads import Downloads
from .errors import correlation_header, error_reply, resource_exhausted, too_many_requests
from .faults import TOKEN_FAULTS, WEBHOOK_FAULTS, Fault, FaultPlan
from .identity import Identity
from .message_media import MessageMedia
from .messages import Kind, Reply, Request, split_target
from .oauth import (
    AUTHENTICATION_FAILED,
    Grant,
    TokenEndpoint,
    TokenStore,
    refusal_reply,
)
from .operations import Call, Operation, Router
from .organization import Organization
from .quota import open_window, quota_headers, retry_after
from .recordings import Recordings
from .signing import MEDIA_PREFIX, Signer
from .spoiling import instead_of_work, spoil
from .storage import MediaStorage, MediaUrls
from .transcoding import Transcoder
from .transcripts import Transcripts
from .webhooks import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from http import HTTPStatus

    from ..clock import Clock
    from .settings import SimulatorSettings

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path, not a secret
WEBHOOK_PATH = "/webhooks/receiver"


class Cloud:
    """Every endpoint of the simulated Genesys Cloud, and the one place where its state is changed."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, origin: str) -> None:
        self.origin = origin
        self.settings = settings
        self.counts = Counts()
        self._clock = clock
        self._latency_rng = _rng(settings, "latency")
        self._id_rng = _rng(settings, "ids")
        self.api_faults = FaultPlan(settings.faults, _rng(settings, "faults"))
        self.token_faults = FaultPlan({}, _rng(settings, "token faults"), possible=TOKEN_FAULTS)
        self.webhook_faults = FaultPlan({}, _rng(settings, "webhook faults"), possible=WEBHOOK_FAULTS)
        signer = Signer(settings.signing_key if settings.signing_key is not None else secrets.token_bytes(32))
        self._phase = clock.wall() - clock.monotonic()
        self._tokens = TokenStore(settings, _rng(settings, "tokens"), phase=self._phase)
        self._token_endpoint = TokenEndpoint(settings, self._tokens)
        self._endpoint = DownloadUrlEndpoint(settings, signer)
        self._endpoint_operations = {"POST": _permitted(self._endpoint.operation, settings)}
        self._permissions = {client.client_id: client.permissions for client in settings.clients}
        derivation = Derivation(settings.seed)
        self.organization = Organization(settings.organization, derivation, clock.wall())
        urls = MediaUrls(settings, signer)
        self.job_faults = FaultPlan(settings.batch.faults, _rng(settings, "job faults"))
        self.batch = BatchJobs(
            settings, self.organization, derivation, urls, self.job_faults, _rng(settings, "batch jobs")
        )
        self._analytics = Analytics(settings, self.organization, _rng(settings, "analytics jobs"))
        self._router = Router(
            _permitted(operation, settings)
            for family in (
                self.batch,
                Recordings(settings, self.organization, urls, Transcoder(derivation, settings.recording.spread)),
                Documents(settings, self.organization, urls, Transcoder(derivation, 0.0)),
                Downloads(settings, self.organization, urls),
                Transcripts(self.organization, urls),
                MessageMedia(settings, self.organization, urls),
                self._analytics,
                Identity(settings, self.organization),
            )
            for operation in family.operations()
        )
        self._operation_names = frozenset({self._endpoint.operation.name, *self._router.names()})
        self._check_names(settings.operation_permissions)
        self._operation_scripts: defaultdict[str, deque[Fault | None]] = defaultdict(deque)
        self._storage = MediaStorage(settings, signer)
        self.receiver = WebhookReceiver(settings.webhook_secret, keep=settings.keep_deliveries)
        self._date_second = -1
        self._date = b""

    def __repr__(self) -> str:
        return f"<Cloud at {self.origin}>"

    def revoke_tokens(self) -> None:
        """Let every token die now; each is answered `bad.credentials` from here on."""
        self._tokens.revoke_all()

    def forget_jobs(self) -> None:
        """Lose every job of every kind, as a restart of the service would."""
        self.batch.forget()
        self._analytics.forget()

    def script(self, operation: str, faults: Iterable[Fault | None]) -> None:
        """Append what the next requests of one operation meet; ValueError for an operation that there is not."""
        self._check_names((operation,))
        self._operation_scripts[operation].extend(faults)

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request. It must be handed to `settle` once it is out, or never will be."""
        reply = self._route(request, random_uuid(self._id_rng))
        return replace(reply, body_withheld=True) if request.method == "HEAD" else reply

    def refuse(self, status: HTTPStatus) -> Reply:
        """Return the reply to what could not be read as a request; to be settled as well."""
        headers = ((b"Content-Type", b"text/plain"), correlation_header(random_uuid(self._id_rng)))
        return Reply(status, headers, status.phrase.encode())

    def settle(self, reply: Reply, *, delivered: bool) -> None:
        """Count a reply that went out whole, or did not."""
        counts = self.counts
        if reply.kind is Kind.API:
            counts.in_flight -= 1
        elif reply.kind is not Kind.OTHER:
            return
        if reply.status and (delivered or reply.fault is not None):
            counts.by_status[reply.status] += 1
        if reply.good and delivered:
            counts.api_ok += 1
            if self.settings.count_file_ids and reply.file_id is not None:
                counts.ok_by_file_id[reply.file_id] += 1

    def date(self) -> bytes:
        """Return the value of the Date header for now."""
        second = int(self._clock.wall())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date

    def _check_names(self, operations: Iterable[str]) -> None:
        unknown = set(operations) - self._operation_names
        if unknown:
            known = ", ".join(sorted(self._operation_names))
            raise ValueError(f"no such operation: {', '.join(sorted(unknown))}; there are {known}")

    def _route(self, request: Request, correlation_id: str) -> Reply:
        path, query = split_target(request.target)
        file_id = self._endpoint.file_id_in(path)
        if file_id is not None:
            return self._answer_api(request, self._endpoint_operations, (file_id,), query, correlation_id)
        if path == TOKEN_PATH:
            return self._answer_token(request, correlation_id)
        if path == WEBHOOK_PATH:
            return self._answer_webhook(request, correlation_id)
        if path.startswith(MEDIA_PREFIX):
            self.counts.media_requests += 1
            return self._storage.answer(request, path, query, self._clock.wall(), correlation_id)
        found = self._router.find(path)
        if found is not None:
            return self._answer_api(request, *found, query, correlation_id)
        return error_reply("not.found", correlation_id, kind=Kind.OTHER)

    def _answer_api(
        self,
        request: Request,
        operations: Mapping[str, Operation],
        ids: tuple[str, ...],
        query: str,
        correlation_id: str,
    ) -> Reply:
        counts = self.counts
        counts.api_requests += 1
        counts.in_flight += 1
        counts.greatest_in_flight = max(counts.greatest_in_flight, counts.in_flight)
        if ids and self.settings.count_file_ids:
            counts.by_file_id[ids[-1]] += 1
        operation = operations.get(request.method)
        if operation is None:
            allowed = (b"Allow", ", ".join(operations).encode())
            reply = error_reply("method.not.allowed", correlation_id, headers=(allowed,))
        else:
            counts.by_operation[operation.name] += 1
            reply = self._judge(request, operation, ids, query, correlation_id)
        latency = self._latency()
        return replace(reply, delay=reply.delay + latency) if latency else reply

    def _judge(
        self, request: Request, operation: Operation, ids: tuple[str, ...], query: str, correlation_id: str
    ) -> Reply:
        now = self._clock.monotonic()
        wall = self._clock.wall()
        grant = self._authenticate(request, now)
        if isinstance(grant, str):
            call = Call(request, ids, query, "", frozenset(), self.origin, now, wall, (), correlation_id)
            reply = operation.stranger(call) if operation.stranger is not None else None
            return error_reply(grant, correlation_id) if reply is None else reply
        client = grant.client_id
        permissions = self._permissions[client]
        call = Call(request, ids, query, client, permissions, self.origin, now, wall, (), correlation_id)
        refusal = self._charge(grant, operation, call)
        return self._work_or_fault(operation, call, grant) if refusal is None else refusal

    def _charge(self, grant: Grant, operation: Operation, call: Call) -> Reply | None:
        """Charge the token's quota, then the resource's; return the 429 of the one that is used up."""
        settings = self.settings
        if grant.window is not None and settings.quota is not None:
            charge = grant.window.charge(call.now)
            if settings.quota_headers:
                call.headers = quota_headers(settings.quota, charge)
            if not charge.allowed:
                self.counts.refused_429 += 1
                seconds = retry_after(charge, settings.retry_after_rounding)
                return too_many_requests(call.correlation_id, seconds, headers=call.headers)
        quota = settings.resource_quotas.get(operation.family)
        if quota is None:
            return None
        window = grant.family_windows.get(operation.family)
        if window is None:
            window = grant.family_windows[operation.family] = open_window(quota, phase=self._phase)
        charge = window.charge(call.now)
        if charge.allowed:
            return None
        self.counts.refused_by_family[operation.family] += 1
        seconds = retry_after(charge, settings.retry_after_rounding)
        return resource_exhausted(call.correlation_id, quota, seconds, headers=call.headers)

    def _authenticate(self, request: Request, now: float) -> Grant | str:
        """Return the grant behind the bearer token, or the code of the 401."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        token = credentials.strip()
        if scheme.lower() != "bearer" or not token:
            return "authentication.required"
        grant = self._tokens.find(token)
        if grant is None:
            return "bad.credentials"
        return grant if now < grant.expires_at else self.settings.expired_token_code

    def _work_or_fault(self, operation: Operation, call: Call, grant: Grant) -> Reply:
        script = self._operation_scripts.get(operation.name)
        fault = script.popleft() if script else self.api_faults.draw()
        if fault is not None:
            if fault is Fault.TOKEN_EXPIRED:
                grant.expires_at = -math.inf
            refusal = instead_of_work(fault, Kind.API, call.headers, call.correlation_id)
            if refusal is not None:
                return self._counted(refusal)
        reply = operation.run(call)
        return reply if fault is None or reply.fault is not None else self._spoiled(reply, fault)

    def _answer_token(self, request: Request, correlation_id: str) -> Reply:
        self.counts.token_requests += 1
        unreadable = _unreadable(request, Kind.TOKEN, correlation_id)
        if unreadable is not None:
            return unreadable
        fault = self.token_faults.draw()
        if fault is Fault.UNAUTHORIZED:
            return self._counted(replace(refusal_reply(AUTHENTICATION_FAILED, correlation_id), fault=fault))
        refusal = instead_of_work(fault, Kind.TOKEN, (), correlation_id) if fault is not None else None
        if refusal is not None:
            return self._counted(refusal)
        reply = self._token_endpoint.answer(request, self._clock.monotonic(), correlation_id)
        if reply.status == 200:
            self.counts.tokens_issued += 1
        return self._spoiled(reply, fault)

    def _answer_webhook(self, request: Request, correlation_id: str) -> Reply:
        self.counts.webhook_requests += 1
        unreadable = _unreadable(request, Kind.WEBHOOK, correlation_id)
        if unreadable is not None:
            return unreadable
        fault = self.webhook_faults.draw()
        refusal = instead_of_work(fault, Kind.WEBHOOK, (), correlation_id) if fault is not None else None
        if refusal is not None:
            return self._counted(refusal)
        reply = self.receiver.answer(request, self._clock.wall(), correlation_id)
        if reply.status == 400:
            self.counts.webhook_rejected += 1
        return self._spoiled(reply, fault)

    def _spoiled(self, reply: Reply, fault: Fault | None) -> Reply:
        if fault is None:
            return reply
        spoiled = spoil(reply, fault, late_seconds=self.settings.late_seconds)
        return reply if spoiled is None else self._counted(spoiled)

    def _counted(self, reply: Reply) -> Reply:
        if reply.fault is not None:
            self.counts.faults[reply.fault] += 1
        return reply

    def _latency(self) -> float:
        latency = self.settings.latency
        if isinstance(latency, tuple):
            median, sigma = latency
            return self._latency_rng.lognormvariate(math.log(median), sigma)
        return latency


def _unreadable(request: Request, kind: Kind, correlation_id: str) -> Reply | None:
    """Return the reply to what is no POST, or too large to be read; None to anything else."""
    if request.method != "POST":
        return error_reply("method.not.allowed", correlation_id, kind=kind, headers=((b"Allow", b"POST"),))
    if request.too_large:
        return error_reply("request.entity.too.large", correlation_id, kind=kind)
    return None


def _permitted(operation: Operation, settings: SimulatorSettings) -> Operation:
    """Return an operation with the permissions that the settings ask for instead of its own."""
    wanted = settings.operation_permissions.get(operation.name)
    return operation if wanted is None else replace(operation, any_of=tuple(sorted(wanted)), all_of=())


def _rng(settings: SimulatorSettings, purpose: str) -> random.Random:
    """Return dice of their own for one purpose, so that using one leaves the others' throws as they were."""
    return random.Random(f"{settings.seed}:{purpose}")  # noqa: S311 - reproducible on purpose
