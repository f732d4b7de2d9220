"""
The whole cloud without its network: which part a request is for, in which order it is judged, and what is counted.

An API request is judged in this order: path and method, bearer token, quota, fault, then its own content. So a 401 is
never charged, a fault is met only by a request that paid, and a 429 of the quota uses up no scripted fault. Pure and
synchronous but for the reading of the clock; a carrier calls `handle`, sends the reply, and calls `settle`.
"""

from __future__ import annotations

import math
import random
import secrets
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING

from .counts import Counts
from .download_url import DownloadUrlEndpoint
from .errors import correlation_header, error_reply, too_many_requests
from .faults import TOKEN_FAULTS, WEBHOOK_FAULTS, Fault, FaultPlan
from .messages import Headers, Kind, Reply, Request, split_target
from .oauth import (
    AUTHENTICATION_FAILED,
    Grant,
    TokenEndpoint,
    TokenStore,
    refusal_reply,
)
from .quota import quota_headers, retry_after
from .signing import MEDIA_PREFIX, Signer
from .spoiling import instead_of_work, spoil
from .storage import MediaStorage
from .webhooks import WebhookReceiver

if TYPE_CHECKING:
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
        phase = clock.wall() - clock.monotonic()
        self._tokens = TokenStore(settings, _rng(settings, "tokens"), phase=phase)
        self._token_endpoint = TokenEndpoint(settings, self._tokens)
        self._endpoint = DownloadUrlEndpoint(settings, signer)
        self._storage = MediaStorage(settings, signer)
        self.receiver = WebhookReceiver(settings.webhook_secret, keep=settings.keep_deliveries)
        self._date_second = -1
        self._date = b""

    def __repr__(self) -> str:
        return f"<Cloud at {self.origin}>"

    def revoke_tokens(self) -> None:
        """Let every token die now; each is answered `bad.credentials` from here on."""
        self._tokens.revoke_all()

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request. It must be handed to `settle` once it is out, or never will be."""
        reply = self._route(request, self._correlation_id())
        return replace(reply, body_withheld=True) if request.method == "HEAD" else reply

    def refuse(self, status: HTTPStatus) -> Reply:
        """Return the reply to what could not be read as a request; to be settled as well."""
        headers = ((b"Content-Type", b"text/plain"), correlation_header(self._correlation_id()))
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

    def _route(self, request: Request, correlation_id: str) -> Reply:
        path, query = split_target(request.target)
        file_id = self._endpoint.file_id_in(path)
        if file_id is not None:
            return self._answer_api(request, file_id, correlation_id)
        if path == TOKEN_PATH:
            return self._answer_token(request, correlation_id)
        if path == WEBHOOK_PATH:
            return self._answer_webhook(request, correlation_id)
        if path.startswith(MEDIA_PREFIX):
            self.counts.media_requests += 1
            return self._storage.answer(request, path, query, self._clock.wall(), correlation_id)
        return error_reply("not.found", correlation_id, kind=Kind.OTHER)

    def _answer_api(self, request: Request, file_id: str, correlation_id: str) -> Reply:
        counts = self.counts
        counts.api_requests += 1
        counts.in_flight += 1
        counts.greatest_in_flight = max(counts.greatest_in_flight, counts.in_flight)
        if self.settings.count_file_ids:
            counts.by_file_id[file_id] += 1
        reply = self._judge(request, file_id, correlation_id)
        latency = self._latency()
        return replace(reply, delay=reply.delay + latency) if latency else reply

    def _judge(self, request: Request, file_id: str, correlation_id: str) -> Reply:
        if request.method != "POST":
            return error_reply("method.not.allowed", correlation_id, headers=((b"Allow", b"POST"),))
        now = self._clock.monotonic()
        grant = self._authenticate(request, now)
        if isinstance(grant, str):
            return error_reply(grant, correlation_id)
        headers: Headers = ()
        if grant.window is not None and self.settings.quota is not None:
            charge = grant.window.charge(now)
            if self.settings.quota_headers:
                headers = quota_headers(self.settings.quota, charge)
            if not charge.allowed:
                self.counts.refused_429 += 1
                seconds = retry_after(charge, self.settings.retry_after_rounding)
                return too_many_requests(correlation_id, seconds, headers=headers)
        return self._work_or_fault(request, file_id, grant, headers, correlation_id)

    def _authenticate(self, request: Request, now: float) -> Grant | str:
        """Return the grant behind the bearer token, or the code of the 401."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return "authentication.required"
        grant = self._tokens.find(token.strip())
        if grant is None:
            return "bad.credentials"
        return grant if now < grant.expires_at else self.settings.expired_token_code

    def _work_or_fault(
        self, request: Request, file_id: str, grant: Grant, headers: Headers, correlation_id: str
    ) -> Reply:
        fault = self.api_faults.draw()
        if fault is not None:
            if fault is Fault.TOKEN_EXPIRED:
                grant.expires_at = -math.inf
            refusal = instead_of_work(fault, Kind.API, headers, correlation_id)
            if refusal is not None:
                return self._counted(refusal)
        wall = self._clock.wall()
        reply = self._endpoint.answer(request, file_id, self.origin, wall, headers, correlation_id)
        return self._spoiled(reply, fault)

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

    def _correlation_id(self) -> str:
        bits = f"{self._id_rng.getrandbits(128):032x}"
        # The 4 and the a are where a random UUID carries its version and variant.
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


def _unreadable(request: Request, kind: Kind, correlation_id: str) -> Reply | None:
    """Return the reply to what is no POST, or too large to be read; None to anything else."""
    if request.method != "POST":
        return error_reply("method.not.allowed", correlation_id, kind=kind, headers=((b"Allow", b"POST"),))
    if request.too_large:
        return error_reply("request.entity.too.large", correlation_id, kind=kind)
    return None


def _rng(settings: SimulatorSettings, purpose: str) -> random.Random:
    """Return dice of their own for one purpose, so that using one leaves the others' throws as they were."""
    return random.Random(f"{settings.seed}:{purpose}")  # noqa: S311 - reproducible on purpose
