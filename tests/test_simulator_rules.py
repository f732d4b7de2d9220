"""The simulator's rules, without any network: quota windows, tokens, signatures, faults, settings."""

from __future__ import annotations

import base64
import random
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.simulator import Counts, Fault, OAuthClient, Quota, SimulatorSettings, messages
from genesys_media_async.simulator.faults import FaultPlan
from genesys_media_async.simulator.messages import decode_segment, split_target
from genesys_media_async.simulator.oauth import TokenStore
from genesys_media_async.simulator.quota import Charge, open_window, quota_headers, retry_after
from genesys_media_async.simulator.signing import Signer, Verdict, content_type_of
from genesys_media_async.simulator.spoiling import instead_of_work
from genesys_media_async.simulator.storage import media_bytes

Kind = Literal["fixed", "aligned", "sliding"]
KINDS: tuple[Kind, ...] = ("fixed", "aligned", "sliding")


@pytest.mark.parametrize(
    ("kind", "at", "allowed"),
    [
        ("fixed", [5, 5, 5], [True, True, False]),
        ("fixed", [5, 14.9, 14.99], [True, True, False]),
        ("fixed", [5, 14.9, 15.0], [True, True, True]),
        ("fixed", [5, 14.9, 15.0, 15.1, 24.9, 25.0], [True, True, True, True, False, True]),
        ("aligned", [5, 9.9, 9.99], [True, True, False]),
        ("aligned", [5, 9.9, 10.0], [True, True, True]),
        ("aligned", [8, 9, 10, 11, 12, 20], [True, True, True, True, False, True]),
        ("sliding", [5, 14, 14.9], [True, True, False]),
        ("sliding", [5, 14, 15.0], [True, True, True]),
        ("sliding", [5, 14, 15.0, 16, 23.9, 24], [True, True, True, False, False, True]),
    ],
)
def test_a_window_of_two_requests_in_ten_seconds_opens_and_closes_as_its_kind_says(
    kind: Kind, at: list[float], allowed: list[bool]
) -> None:
    window = open_window(Quota(2, 10.0, kind=kind))
    assert [window.charge(now).allowed for now in at] == allowed


@pytest.mark.parametrize(
    ("kind", "reset_in"), [("fixed", [10.0, 6.0]), ("aligned", [5.0, 1.0]), ("sliding", [10.0, 6.0])]
)
def test_a_window_says_how_long_until_there_is_room_again(kind: Kind, reset_in: list[float]) -> None:
    window = open_window(Quota(1, 10.0, kind=kind))
    assert [window.charge(now).reset_in for now in (5.0, 9.0)] == reset_in


def test_an_aligned_window_begins_on_the_wall_clock() -> None:
    window = open_window(Quota(1, 10.0, kind="aligned"), phase=7.0)
    assert [window.charge(now).allowed for now in (0.0, 2.9, 3.0, 12.9, 13.0)] == [
        True,
        False,
        True,
        False,
        True,
    ]


@given(
    kind=st.sampled_from(KINDS),
    limit=st.integers(1, 5),
    gaps=st.lists(st.integers(0, 40), max_size=60),
    phase=st.integers(0, 30),
)
def test_no_window_ever_lets_more_than_its_limit_through(kind: Kind, limit: int, gaps: list[int], phase: int) -> None:
    length = 30
    window = open_window(Quota(limit, float(length), kind=kind), phase=float(phase))
    now, opened = 0, -length
    admitted: list[int] = []
    by_window: dict[int, int] = {}
    for gap in gaps:
        now += gap
        if now >= opened + length:
            opened = now
        allowed = window.charge(float(now)).allowed
        counted_in = {"fixed": opened, "aligned": (now + phase) // length}.get(kind)
        if counted_in is None:
            used = sum(1 for earlier in admitted if earlier > now - length)
        else:
            used = by_window.get(counted_in, 0)
            by_window[counted_in] = used + allowed
        assert allowed == (used < limit)
        if allowed:
            admitted.append(now)


@given(kind=st.sampled_from(KINDS), gaps=st.lists(st.floats(0, 3), min_size=1, max_size=30))
def test_whoever_waits_for_the_reset_is_let_in(kind: Kind, gaps: list[float]) -> None:
    window, now = open_window(Quota(2, 5.0, kind=kind)), 0.0
    for gap in gaps:
        now += gap
        charge = window.charge(now)
        if not charge.allowed:
            assert 0 < charge.reset_in <= 5.0 + 1e-9
            assert 1 <= retry_after(charge, "down") <= retry_after(charge, "up") <= 5
            now += charge.reset_in + 1e-9
            assert window.charge(now).allowed


@pytest.mark.parametrize(
    ("left", "down", "up"),
    [(59.2, 59, 60), (60.0, 60, 60), (0.3, 1, 1), (1.9, 1, 2), (5.000000000000002, 5, 5), (4.999999999999998, 5, 5)],
)
def test_retry_after_is_whole_seconds_rounded_as_set_and_never_zero(left: float, down: int, up: int) -> None:
    charge = Charge(allowed=False, count=1, reset_in=left)
    assert (retry_after(charge, "down"), retry_after(charge, "up")) == (down, up)


def test_the_quota_headers_show_61_seconds_at_the_first_request_of_a_minute() -> None:
    quota = Quota(180, 60.0)
    assert dict(quota_headers(quota, open_window(quota).charge(3.5))) == {
        b"inin-ratelimit-count": b"1",
        b"inin-ratelimit-allowed": b"180",
        b"inin-ratelimit-reset": b"61",
    }


def test_the_oldest_token_dies_when_a_client_has_one_too_many() -> None:
    store = TokenStore(SimulatorSettings(live_tokens=2), random.Random(1))
    first, second, third = (store.issue("one", now) for now in (0.0, 1.0, 2.0))
    assert [store.find(grant.token) for grant in (first, second, third)] == [None, second, third]


def test_the_tokens_of_two_clients_are_counted_apart_and_expired_ones_not_at_all() -> None:
    store = TokenStore(SimulatorSettings(live_tokens=1, token_life=10.0), random.Random(1))
    mine, theirs = store.issue("one", 0.0), store.issue("two", 1.0)
    assert store.find(mine.token) is mine
    later = store.issue("one", 10.0)
    assert [store.find(grant.token) for grant in (mine, theirs, later)] == [mine, theirs, later]


def test_expired_tokens_are_not_remembered_for_ever() -> None:
    store = TokenStore(SimulatorSettings(token_life=1.0), random.Random(1))
    first = store.issue("one", 0.0)
    for number in range(1, 1010):
        store.issue("one", float(number * 2))
    assert store.find(first.token) is None


def test_a_signed_url_is_good_until_its_expiry() -> None:
    signer = Signer(b"key")
    target = urlsplit(signer.sign("/media/a/a.wav", 100))
    assert signer.judge(target.path, target.query, 99.9) is Verdict.GOOD
    assert signer.judge(target.path, target.query, 100.0) is Verdict.EXPIRED


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
def test_a_change_to_anything_signed_is_seen(path: str, query: str, verdict: Verdict) -> None:
    signer = Signer(b"key")
    signature = parse_qs(urlsplit(signer.sign("/media/a/a.wav", 100)).query)["Signature"][0]
    assert signer.judge(path, query.format(s=signature), 50.0) is verdict
    assert Signer(b"other").judge("/media/a/a.wav", f"Expires=100&Signature={signature}", 50.0) is Verdict.CHANGED


def test_a_file_has_the_same_type_and_bytes_every_time() -> None:
    types = ("audio/wav", "audio/ogg")
    assert {content_type_of(f"id-{number}", types) for number in range(50)} == set(types)
    assert content_type_of("id-7", types) == content_type_of("id-7", types)
    assert content_type_of("document-7", types) == "application/pdf"
    assert media_bytes("a", 100) == media_bytes("a", 100) != media_bytes("b", 100)


@pytest.mark.parametrize("segment", ["", ".", "..", "%2e%2E", "a%2Fb", "a%5cb", "a/b", "%", "%2", "%zz", "%ff", "é"])
def test_a_segment_that_does_not_name_one_thing_is_refused(segment: str) -> None:
    assert decode_segment(segment) is None


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..") and not set(text) & set("/\\\0")))
def test_every_other_name_survives_being_quoted(name: str) -> None:
    try:
        quoted = quote(name, safe="")
    except UnicodeEncodeError:
        return
    assert decode_segment(quoted) == name


def test_the_absolute_form_of_a_target_is_understood() -> None:
    assert split_target("http://host:1/a/b?c=d") == ("/a/b", "c=d")
    assert split_target("/a/b") == ("/a/b", "")
    assert split_target("*") == ("*", "")


def test_what_is_scripted_comes_before_what_is_likely() -> None:
    plan = FaultPlan({Fault.HANG: 1.0}, random.Random(0))
    plan.script((None, Fault.LATE))
    assert [plan.draw() for _ in range(3)] == [None, Fault.LATE, Fault.HANG]


def test_faults_come_as_often_as_their_probabilities_say_and_the_same_for_a_seed() -> None:
    def draws(seed: int) -> list[Fault | None]:
        plan = FaultPlan({Fault.HANG: 0.2, Fault.LATE: 0.3}, random.Random(seed))
        return [plan.draw() for _ in range(2000)]

    met = draws(1)
    assert met == draws(1) != draws(2)
    assert 300 < met.count(Fault.HANG) < 500
    assert 500 < met.count(Fault.LATE) < 700


def test_every_fault_has_a_name_for_the_command_line() -> None:
    assert all(fault.value == fault.name.lower().replace("_", "-") for fault in Fault)


@pytest.mark.parametrize(
    "wrong",
    [
        {"content_types": ()},
        {"live_tokens": 0},
        {"token_requests_per_minute": 0},
        {"url_life_max": 86401},
        {"latency": -1.0},
        {"latency": (0.0, 1.0)},
        {"fault_seconds": -1.0},
        {"faults": {Fault.HANG: 0.6, Fault.LATE: 0.5}},
        {"faults": {Fault.HANG: -0.1}},
        {"path_template": "/no/id"},
        {"webhook_secret": "secret"},
        {"clients": (OAuthClient("a", "b"), OAuthClient("a", "c"))},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SimulatorSettings(**wrong)


@pytest.mark.parametrize("arguments", [(0, 1.0), (1, 0.0), (1, 1.0, "weekly")])
def test_a_quota_that_cannot_be_meant_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="quota"):
        Quota(*arguments)


def test_no_secret_is_shown() -> None:
    secret = "whsec_" + base64.b64encode(b"canary").decode()
    settings = SimulatorSettings(
        clients=(OAuthClient("id", "canary-secret"),), signing_key=b"canary-key", webhook_secret=secret
    )
    grant = TokenStore(settings, random.Random(1)).issue("id", 0.0)
    shown = f"{settings!r} {Signer(b'canary-key')!r} {grant!r}"
    assert "canary" not in shown
    assert secret not in shown
    assert grant.token not in shown


def test_a_fault_that_only_spoils_does_not_replace_the_work() -> None:
    replaced = {fault for fault in Fault if instead_of_work(fault, messages.Kind.API, (), "id") is not None}
    assert Fault.SERVER_ERROR_500 in replaced
    assert not replaced & {Fault.LATE, Fault.SLOW_DRIP, Fault.EMPTY_URL, Fault.TRUNCATED_BODY}


def test_counts_become_plain_values() -> None:
    counts = Counts()
    counts.by_status[200] += 2
    counts.faults[Fault.HANG] += 1
    plain = counts.as_dict()
    assert plain["by_status"] == {"200": 2}
    assert plain["faults"] == {"hang": 1}
    assert plain["api_ok"] == 0


def test_a_virtual_clock_serves_the_rules() -> None:
    clock = VirtualClock()
    window = open_window(Quota(1, 3600.0), phase=clock.wall() - clock.monotonic())
    assert window.charge(clock.monotonic()).allowed
    assert not window.charge(clock.monotonic()).allowed
    clock.advance(3600.0)
    assert window.charge(clock.monotonic()).allowed
