"""Which failures are about a host, and when the next probe may be sent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.api.outage import MANY_FAILURES, PROBE_DELAYS, Concern, HostHealth, concern_of
from genesys_media_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    StaleConnectionError,
    TokenUnavailableError,
)


@pytest.mark.parametrize(
    ("error", "concern"),
    [
        (ConnectError("refused"), Concern.DOWN),
        (ConnectError("certificate", retryable=False), Concern.NOTHING),
        (TokenUnavailableError("login host away"), Concern.DOWN),
        (TokenUnavailableError("closed", retryable=False), Concern.NOTHING),
        (APIConnectionError("reset"), Concern.SUSPECT),
        (StaleConnectionError("closed"), Concern.NOTHING),
        (APITimeoutError("no reply"), Concern.SUSPECT),
        *((InternalServerError("x", status_code=status), Concern.SUSPECT) for status in (502, 503, 504, 520, 530)),
        *((InternalServerError("x", status_code=status), Concern.NOTHING) for status in (500, 501, 505, 531)),
        (NotFoundError("x", status_code=404), Concern.NOTHING),
        (RateLimitError("x", status_code=429), Concern.NOTHING),
        (InvalidResponseError("x", status_code=200), Concern.NOTHING),
        (CredentialsRejectedError("x"), Concern.NOTHING),
        (DeadlineExceededError("x"), Concern.NOTHING),
    ],
    ids=lambda value: getattr(value, "message", None) or getattr(value, "name", None),
)
def test_what_a_failure_shows_of_the_host(error: GenesysMediaError, concern: Concern) -> None:
    assert concern_of(error) is concern


def health() -> HostHealth:
    return HostHealth(random.Random(7))


def test_nobody_there_is_an_outage_at_once():
    host = health()
    assert host.failed(Concern.DOWN, "a", 100.0)
    assert host.is_down
    assert host.began_at == 100.0


def test_many_suspect_failures_of_several_calls_are_an_outage():
    host = health()
    begins = [host.failed(Concern.SUSPECT, f"id-{number % 2}", 1.0) for number in range(MANY_FAILURES)]
    assert begins == [False] * (MANY_FAILURES - 1) + [True]


def test_one_call_that_fails_time_after_time_is_no_outage():
    host = health()
    assert not any(host.failed(Concern.SUSPECT, "id-1", 1.0) for _ in range(100))
    assert not host.is_down


def test_a_reply_between_suspect_failures_begins_the_count_anew():
    host = health()
    for number in range(10 * MANY_FAILURES):
        if number % (MANY_FAILURES - 1) == 0:
            host.answered()
        assert not host.failed(Concern.SUSPECT, f"id-{number}", 1.0)


def test_the_beginning_of_an_outage_is_reported_once():
    host = health()
    assert host.failed(Concern.DOWN, "a", 1.0)
    assert not host.failed(Concern.DOWN, "b", 2.0)
    assert host.began_at == 1.0


@given(failures=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_probes_follow_the_curve_up_to_half_a_minute(failures: int, seed: int) -> None:
    host, now = HostHealth(random.Random(seed)), 0.0
    host.failed(Concern.DOWN, "a", now)
    for number in range(failures):
        assert 0 <= host.probe_at - now <= PROBE_DELAYS[min(number, len(PROBE_DELAYS) - 1)] <= 30.0
        now = host.probe_at
        host.probe_failed(now)


def test_a_wait_that_the_server_asks_for_is_kept():
    host = health()
    host.failed(Concern.DOWN, "a", 0.0, retry_after=40.0)
    assert host.probe_at == 40.0
    host.probe_failed(40.0, retry_after=50.0)
    assert host.probe_at == 90.0


def test_a_second_outage_begins_with_short_delays_again():
    host = health()
    host.failed(Concern.DOWN, "a", 0.0)
    for _ in range(10):
        host.probe_failed(0.0)
    host.answered()
    assert host.failed(Concern.DOWN, "a", 1_000.0)
    assert host.probe_at - 1_000.0 <= PROBE_DELAYS[0]
