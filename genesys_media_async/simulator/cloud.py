"""
The simulated cloud without its network: the routes of requests, the order of their checks, and the counts.

An API request is checked in this order: path and method, bearer token, the token's quota, the resource's quota, fault,
permissions, then its content. Thus a 401 is never charged, only a charged request meets a fault, and a 429 of a quota
uses no scripted fault. A request that the resource's quota refuses has been charged to the token's. The cloud is
synchronous and reads nothing but the clock; a carrier calls `handle`, sends the reply, and calls `settle`.
"""

from __future__ import annotations

import math
import random
import secrets
from collections import defaultdict, deque
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING

from .admission import Admission
from .counts import Counts
from .errors import correlation_header, error_reply
from .fault_kinds import TOKEN_FAULTS, WEBHOOK_FAULTS, Fault
from .faults.plan import FaultPlan
from .faults.reply_faults import fault_reply, spoil_reply
from .messages import Kind, Reply, Request, split_target
from .operations import Call, Operation, Router
from .organization import Organization
from .seeded_ids import SeededIds, random_uuid
from .services.analytics import Analytics
from .services.batch import BatchJobs
from .services.documents import Documents
from .services.download_url import DownloadUrlEndpoint
from .services.identity import Identity
from .services.message_media import MessageMedia
from .services.oauth import (
    AUTHENTICATION_FAILED,
    Grant,
    TokenEndpoint,
    TokenStore,
    refusal_reply,
)
from .services.platform_downloads import PlatformDownloads
from .services.recordings import Recordings
from .services.storage import MediaStorage, MediaUrls
from .services.transcoding import Transcoder
from .services.transcripts import Transcripts
from .services.webhooks import WebhookReceiver
from .signing import MEDIA_PREFIX, Signer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from http import HTTPStatus

    from ..clock import Clock
    from .settings import SimulatorSettings

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path, not a secret
WEBHOOK_PATH = "/webhooks/receiver"


class Cloud:
    """All endpoints of the simulated Genesys Cloud, and the only place that changes their state."""

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
        phase = clock.wall() - clock.monotonic()
        self._tokens = TokenStore(settings, _rng(settings, "tokens"), phase=phase)
        self._admission = Admission(settings, self._tokens, self.counts, phase=phase)
        self._token_endpoint = TokenEndpoint(settings, self._tokens)
        self._endpoint = DownloadUrlEndpoint(settings, signer)
        self._endpoint_operations = {"POST": _permitted(self._endpoint.operation, settings)}
        self._permissions = {client.client_id: client.permissions for client in settings.clients}
        seeded_ids = SeededIds(settings.seed)
        self.organization = Organization(settings.organization, seeded_ids, clock.wall())
        urls = MediaUrls(settings, signer)
        self.job_faults = FaultPlan(settings.batch.faults, _rng(settings, "job faults"))
        self.batch = BatchJobs(
            settings, self.organization, seeded_ids, urls, self.job_faults, _rng(settings, "batch jobs")
        )
        self._analytics = Analytics(settings, self.organization, _rng(settings, "analytics jobs"))
        self._router = Router(
            _permitted(operation, settings)
            for family in (
                self.batch,
                Recordings(settings, self.organization, urls, Transcoder(seeded_ids, settings.recording.spread)),
                Documents(settings, self.organization, urls, Transcoder(seeded_ids, 0.0)),
                PlatformDownloads(settings, self.organization, urls),
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
        """Revoke every token; each is refused with `bad.credentials` from now on."""
        self._tokens.revoke_all()

    def forget_jobs(self) -> None:
        """Forget every job of every kind, as a restart of the service would."""
        self.batch.forget()
        self._analytics.forget()

    def script(self, operation: str, faults: Iterable[Fault | None]) -> None:
        """Append faults for the next requests of one operation. Raises ValueError for an unknown operation."""
        self._check_names((operation,))
        self._operation_scripts[operation].extend(faults)

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request. The carrier must call `settle` with it, whether it could be sent or not."""
        reply = self._route(request, random_uuid(self._id_rng))
        return replace(reply, body_withheld=True) if request.method == "HEAD" else reply

    def refuse(self, status: HTTPStatus) -> Reply:
        """Return the reply to bytes that are no acceptable request; `settle` it as well."""
        headers = ((b"Content-Type", b"text/plain"), correlation_header(random_uuid(self._id_rng)))
        return Reply(status, headers, status.phrase.encode())

    def settle(self, reply: Reply, *, delivered: bool) -> None:
        """Count a reply; `delivered` if it was sent whole."""
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
        """Return the current value of the Date header."""
        second = int(self._clock.wall())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date

    def _check_names(self, operations: Iterable[str]) -> None:
        unknown = set(operations) - self._operation_names
        if unknown:
            known = ", ".join(sorted(self._operation_names))
            raise ValueError(f"unknown operation: {', '.join(sorted(unknown))}; the operations are {known}")

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
        counts.peak_in_flight = max(counts.peak_in_flight, counts.in_flight)
        if ids and self.settings.count_file_ids:
            counts.by_file_id[ids[-1]] += 1
        operation = operations.get(request.method)
        if operation is None:
            allowed = (b"Allow", ", ".join(operations).encode())
            reply = error_reply("method.not.allowed", correlation_id, headers=(allowed,))
        else:
            counts.by_operation[operation.name] += 1
            reply = self._answer_operation(request, operation, ids, query, correlation_id)
        latency = self._latency()
        return replace(reply, delay=reply.delay + latency) if latency else reply

    def _answer_operation(
        self, request: Request, operation: Operation, ids: tuple[str, ...], query: str, correlation_id: str
    ) -> Reply:
        now = self._clock.monotonic()
        wall = self._clock.wall()
        grant = self._admission.authenticate(request, now)
        if isinstance(grant, str):
            call = Call(request, ids, query, "", frozenset(), self.origin, now, wall, (), correlation_id)
            reply = operation.unauthenticated(call) if operation.unauthenticated is not None else None
            return error_reply(grant, correlation_id) if reply is None else reply
        client = grant.client_id
        permissions = self._permissions[client]
        call = Call(request, ids, query, client, permissions, self.origin, now, wall, (), correlation_id)
        refusal = self._admission.charge(grant, operation, call)
        return self._work_or_fault(operation, call, grant) if refusal is None else refusal

    def _work_or_fault(self, operation: Operation, call: Call, grant: Grant) -> Reply:
        script = self._operation_scripts.get(operation.name)
        fault = _possible(script.popleft() if script else self.api_faults.draw(), call.request)
        if fault is not None:
            if fault is Fault.TOKEN_EXPIRED:
                grant.expires_at = -math.inf
            refusal = fault_reply(fault, Kind.API, call.headers, call.correlation_id)
            if refusal is not None:
                return self._counted(refusal)
        reply = operation.run(call)
        return reply if fault is None or reply.fault is not None else self._spoiled(reply, fault)

    def _answer_token(self, request: Request, correlation_id: str) -> Reply:
        self.counts.token_requests += 1
        unacceptable = _unacceptable(request, Kind.TOKEN, correlation_id)
        if unacceptable is not None:
            return unacceptable
        fault = _possible(self.token_faults.draw(), request)
        if fault is Fault.UNAUTHORIZED:
            return self._counted(replace(refusal_reply(AUTHENTICATION_FAILED, correlation_id), fault=fault))
        refusal = fault_reply(fault, Kind.TOKEN, (), correlation_id) if fault is not None else None
        if refusal is not None:
            return self._counted(refusal)
        reply = self._token_endpoint.answer(request, self._clock.monotonic(), correlation_id)
        if reply.status == 200:
            self.counts.tokens_issued += 1
        return self._spoiled(reply, fault)

    def _answer_webhook(self, request: Request, correlation_id: str) -> Reply:
        self.counts.webhook_requests += 1
        unacceptable = _unacceptable(request, Kind.WEBHOOK, correlation_id)
        if unacceptable is not None:
            return unacceptable
        fault = _possible(self.webhook_faults.draw(), request)
        refusal = fault_reply(fault, Kind.WEBHOOK, (), correlation_id) if fault is not None else None
        if refusal is not None:
            return self._counted(refusal)
        reply = self.receiver.answer(request, self._clock.wall(), correlation_id)
        if reply.status == 400:
            self.counts.webhook_rejected += 1
        return self._spoiled(reply, fault)

    def _spoiled(self, reply: Reply, fault: Fault | None) -> Reply:
        if fault is None:
            return reply
        spoiled = spoil_reply(reply, fault, late_seconds=self.settings.late_seconds)
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


def _possible(fault: Fault | None, request: Request) -> Fault | None:
    """Return the fault if a request can meet it: over a new connection there is no keep-alive race."""
    return None if fault is Fault.KEEP_ALIVE_RACE and not request.reused else fault


def _unacceptable(request: Request, kind: Kind, correlation_id: str) -> Reply | None:
    """Return the refusal of a request that is no POST or too large; None for any other."""
    if request.method != "POST":
        return error_reply("method.not.allowed", correlation_id, kind=kind, headers=((b"Allow", b"POST"),))
    if request.too_large:
        return error_reply("request.entity.too.large", correlation_id, kind=kind)
    return None


def _permitted(operation: Operation, settings: SimulatorSettings) -> Operation:
    """Return an operation with the permissions that the settings require instead of its own."""
    wanted = settings.operation_permissions.get(operation.name)
    return operation if wanted is None else replace(operation, any_of=tuple(sorted(wanted)), all_of=())


def _rng(settings: SimulatorSettings, purpose: str) -> random.Random:
    """Return the random numbers of one purpose, which do not depend on how many another purpose has used."""
    return random.Random(f"{settings.seed}:{purpose}")  # noqa: S311 - reproducible on purpose
