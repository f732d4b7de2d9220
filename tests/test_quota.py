"""The account of permits, held against servers that count in every way a server may."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from itertools import accumulate, product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genesys_media_async.quota import STEPS, PauseOnly, Permit, QuotaAccount, Reading
from genesys_media_async.simulator.quota_models import LATENCIES, quota_window
from tests.support.quota_world import World

# Whole numbers, so that the sums below are exact: what is tested is the rule and not the rounding.
NEVER, FOREVER = float("-inf"), float("inf")

MAX_VAIN_CHANCES = 3
"""A chance may come to nothing, since it is named before what happens until then: so often in a row at most."""

READINGS = st.builds(
    Reading,
    *[st.one_of(st.integers(-2, 75), st.sampled_from([10**400, -(10**400)])) for _ in ("count", "allowed", "reset")],
)


@dataclass(frozen=True)
class Wish:
    """A request somebody wants to send: when, how long the exchange takes, and when in it the server counts it."""

    at: int
    duration: int
    counted_after: int
    sent: bool = True


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    duration = draw(st.integers(0, 12))
    return Wish(
        at=draw(st.integers(0, 60)),
        duration=duration,
        counted_after=draw(st.integers(0, duration)),
        sent=draw(st.sampled_from([True, True, True, False])),
    )


def taken(account: QuotaAccount | PauseOnly, now: float) -> Permit:
    permit = account.take(now)
    assert permit is not None
    return permit


def end(account: QuotaAccount, permit: Permit, now: float, *, sent: bool) -> None:
    if sent:
        account.spend(permit, now)
    else:
        account.give_back(permit)


def arrivals(account: QuotaAccount, wanted: list[Wish]) -> list[int]:
    """Let the wishes be sent as early as the account allows, tick by tick; return when the server saw them."""
    waiting = sorted(wanted, key=lambda wish: wish.at)
    under_way: list[tuple[int, Permit, Wish]] = []
    seen: list[int] = []
    for now in range(10_000):
        for each in [each for each in under_way if each[0] == now]:
            under_way.remove(each)
            end(account, each[1], now, sent=each[2].sent)
        while waiting and waiting[0].at <= now and (permit := account.take(now)) is not None:
            wish = waiting.pop(0)
            if wish.sent:
                seen.append(now + wish.counted_after)
            if wish.duration == 0:
                end(account, permit, now, sent=wish.sent)
            else:
                under_way.append((now + wish.duration, permit, wish))
        if not waiting and not under_way:
            return sorted(seen)
    raise AssertionError("the account never lets the rest go")


def most_in_a_sliding_window(seen: list[int], window: int) -> int:
    return max((sum(start <= each < start + window for each in seen) for start in seen), default=0)


def most_in_an_aligned_window(seen: list[int], window: int, phase: int) -> int:
    counts: dict[int, int] = {}
    for each in seen:
        counts[(each + phase) // window] = counts.get((each + phase) // window, 0) + 1
    return max(counts.values(), default=0)


def most_in_a_fixed_window(seen: list[int], window: int) -> int:
    """A window that opens with the first request after the last one closed."""
    most = count = 0
    opened = -window
    for each in seen:
        if each >= opened + window:
            opened, count = each, 0
        count += 1
        most = max(most, count)
    return most


@given(limit=st.integers(1, 6), window=st.integers(1, 15), wanted=st.lists(wishes(), max_size=40))
@example(limit=3, window=10, wanted=[Wish(0, 0, 0)] * 9)
@example(limit=3, window=10, wanted=[Wish(0, 10, 10)] * 3 + [Wish(10, 0, 0)] * 3)
@settings(deadline=None, max_examples=150)
def test_no_window_of_any_server_ever_holds_more_than_the_limit(limit: int, window: int, wanted: list[Wish]) -> None:
    seen = arrivals(QuotaAccount(limit, window), wanted)
    assert len(seen) == sum(wish.sent for wish in wanted)
    assert most_in_a_sliding_window(seen, window) <= limit
    assert most_in_a_fixed_window(seen, window) <= limit
    for phase in range(window):
        assert most_in_an_aligned_window(seen, window, phase) <= limit


def test_the_models_of_the_servers_see_the_double_first_minute_of_a_leaky_bucket() -> None:
    """The property above could not fail if they did not: 300 at once, then 299 more within the minute."""
    seen = [0] * 300 + [each // 5 for each in range(299)]
    assert most_in_a_sliding_window(seen, 60) == 599
    assert most_in_a_fixed_window(seen, 60) == 599
    assert most_in_an_aligned_window(seen, 60, 0) == 599


@given(limit=st.integers(1, 5), window=st.integers(1, 10), count=st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_instant_exchanges_use_the_whole_limit_of_every_window(limit: int, window: int, count: int) -> None:
    seen = arrivals(QuotaAccount(limit, window), [Wish(0, 0, 0)] * count)
    assert seen == [window * (number // limit) for number in range(count)]


def test_a_permit_is_charged_from_when_it_is_taken_until_a_window_after_the_reply() -> None:
    account = QuotaAccount(1, 60)
    permit = taken(account, 0)
    # However long the reply takes: the server may count the request as late as that.
    assert account.take(1_000) is None
    account.spend(permit, 1_000)
    assert account.take(1_059.9) is None
    assert account.used(1_059.9) == 1
    assert account.take(1_060) is not None


def test_a_reply_that_stalls_is_charged_no_longer_than_from_when_a_count_proved_it_counted() -> None:
    account = QuotaAccount(2, 60)
    stalled, prompt = taken(account, 0), taken(account, 0)
    account.spend(prompt, 1, Reading(2, 2, 60))
    account.spend(stalled, 20)
    assert account.used(60.9) == 2
    assert account.used(61) == 0


@given(
    gaps=st.lists(st.one_of(st.floats(0, 0.02), st.floats(0, 40)), max_size=60),
    looks=st.lists(st.floats(0, 200), max_size=20),
)
@settings(deadline=None, max_examples=100)
def test_a_permit_of_a_large_limit_comes_back_at_most_a_step_late_and_never_early(
    gaps: list[float], looks: list[float]
) -> None:
    account, spent = QuotaAccount(STEPS + 1, 60.0), list[float]()
    for now, is_look in sorted([*((at, False) for at in accumulate(gaps)), *((at, True) for at in looks)]):
        if not is_look:
            account.spend(taken(account, now), now)
            spent.append(now)
        exact = sum(now < at + 60.0 for at in spent)
        a_step_late = sum(now < at + 60.0 / STEPS + 60.0 for at in spent)
        assert exact <= account.used(now) <= a_step_late


def test_a_reply_that_stalls_is_charged_hardly_longer_if_the_limit_is_large() -> None:
    account = QuotaAccount(STEPS + 1, 60)
    stalled, prompt = taken(account, 0), taken(account, 0)
    account.spend(prompt, 1, Reading(2, STEPS + 1, 60))
    account.spend(taken(account, 10), 10)
    account.spend(stalled, 20)
    assert account.used(60.9) == 3
    assert account.used(61 + 60 / STEPS) == 1


def test_the_account_of_a_large_limit_remembers_no_request_by_itself() -> None:
    account = QuotaAccount(10_000_000, 60)
    tracemalloc.start()
    try:
        for number in range(5_000):
            now = number / 5_000
            account.spend(taken(account, now), now)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert account.used(1) == 5_000
    assert size < 5 * 5_000


def test_a_refusal_that_is_told_late_teaches_no_more_than_the_one_it_came_with() -> None:
    account = QuotaAccount(10, 60)
    late, prompt = taken(account, 0), taken(account, 0)
    for _ in range(7):
        account.spend(taken(account, 0), 0)
    account.refuse(prompt, 1, 2)
    account.refuse(late, 20, 2)
    once = QuotaAccount(10, 60)
    prompt = taken(once, 0)
    for _ in range(7):
        once.spend(taken(once, 0), 0)
    once.refuse(prompt, 1, 2)
    assert account.allowed == once.allowed


def test_a_permit_given_back_is_free_at_once() -> None:
    account = QuotaAccount(1, 60)
    account.give_back(taken(account, 0))
    assert account.used(0) == 0
    assert account.take(0) is not None


def test_the_next_chance_is_now_if_there_is_a_permit() -> None:
    account = QuotaAccount(2, 60)
    taken(account, 5)
    assert account.next_chance(7) == 7


def test_the_next_chance_is_when_the_oldest_permit_comes_back() -> None:
    account = QuotaAccount(2, 60)
    for now in (5, 8):
        account.spend(taken(account, now), now)
    assert account.next_chance(9) == 65
    assert account.take(64.999) is None
    assert account.take(65) is not None


def test_nobody_knows_the_next_chance_while_every_permit_is_in_flight() -> None:
    account = QuotaAccount(1, 60)
    taken(account, 0)
    assert account.next_chance(0) == FOREVER


@pytest.mark.parametrize(("latency", "most"), [(0.0, 4), (0.06, 4), (2.0, 100), (6.0, 300), (60.0, 300)])
def test_no_more_are_in_flight_than_spend_the_limit_in_a_tenth_of_the_window(latency: float, most: int) -> None:
    account = QuotaAccount(300, 60)
    account.spend(taken(account, 0), latency)
    now = latency + 60
    held = [permit for _ in range(301) if (permit := account.take(now)) is not None]
    assert len(held) == most
    assert account.next_chance(now) == FOREVER
    account.give_back(held[0])
    assert account.next_chance(now) == now


@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["take", "spend", "back"]), st.integers(0, 9)), max_size=40),
)
@settings(deadline=None, max_examples=100)
def test_the_next_chance_is_exactly_when_take_succeeds_next(limit: int, steps: list[tuple[str, int]]) -> None:
    account, now = QuotaAccount(limit, 7), 0
    held: list[Permit] = []
    for step, seconds in steps:
        now += seconds
        chance = account.next_chance(now)
        assert chance >= now
        if step == "take":
            permit = account.take(now)
            assert (permit is not None) is (chance == now)
            held += [permit] if permit is not None else []
        elif held:
            end(account, held.pop(0), now, sent=step == "spend")
    chance = account.next_chance(now)
    if chance == FOREVER:
        assert len(held) == limit
    else:
        assert chance == now or account.take(chance - 0.5) is None
        assert account.take(chance) is not None


@pytest.fixture(params=["limited", "unlimited"])
def either(request: pytest.FixtureRequest) -> QuotaAccount | PauseOnly:
    return QuotaAccount(10, 60) if request.param == "limited" else PauseOnly()


class TestAPause:
    def test_lets_nobody_send_although_there_are_permits(self, either: QuotaAccount | PauseOnly) -> None:
        assert either.paused_until == NEVER
        assert either.state(0).paused_for is None
        assert either.refuse(taken(either, 0), 0, 30) is True
        assert either.take(29.9) is None
        assert either.next_chance(10) == either.paused_until == 30
        assert either.state(10).paused_for == 20
        assert either.take(30) is not None
        assert either.state(30).paused_for is None

    def test_that_is_shorter_never_ends_a_longer_one(self, either: QuotaAccount | PauseOnly) -> None:
        first, second, third = (taken(either, 0) for _ in range(3))
        assert either.refuse(first, 0, 30) is True
        assert either.refuse(second, 0, 20) is False
        assert either.paused_until == 30
        assert either.refuse(third, 5, 35) is True
        assert either.paused_until == 40

    def test_and_a_permit_both_have_to_be_over(self) -> None:
        account = QuotaAccount(2, 60)
        spent, refused = taken(account, 0), taken(account, 0)
        account.spend(spent, 0)
        account.refuse(refused, 0, 30, told=False)
        assert account.next_chance(1) == 30
        account.spend(taken(account, 30), 30)
        assert account.take(59.9) is None
        assert account.next_chance(59.9) == 60
        assert account.take(60) is not None
        account = QuotaAccount(2, 60)
        spent, refused = taken(account, 0), taken(account, 0)
        account.spend(spent, 0)
        account.refuse(refused, 0, 90, told=False)
        assert account.next_chance(1) == 90

    def test_frees_the_permit_of_the_request_that_was_refused(self) -> None:
        account = QuotaAccount(1, 60)
        account.refuse(taken(account, 0), 0, 2)
        assert account.used(0) == 0
        assert account.take(2) is not None


def test_a_token_without_a_limit_is_never_short_of_permits() -> None:
    account = PauseOnly()
    held = [taken(account, 0) for _ in range(10_000)]
    assert account.next_chance(0) == 0
    assert account.state(0).used == 10_000
    for permit in held[:9_998]:
        account.spend(permit, 1)
    account.give_back(held[9_998])
    state = account.state(1)
    assert (state.used, state.allowed, state.foreign, state.resets_in, state.paused_for) == (1, None, 0, None, None)
    assert account.allowed is None
    assert repr(account) == "<PauseOnly 1 in flight>"


@pytest.mark.parametrize("limit", [1, 300])
def test_the_account_shows_its_state(limit: int) -> None:
    account = QuotaAccount(limit, 60)
    permit = taken(account, 0)
    assert account.allowed == limit
    assert repr(account) == f"<QuotaAccount 1 in flight, 0 spent, of {limit}>"
    account.spend(permit, 0)
    assert repr(account) == f"<QuotaAccount 0 in flight, 1 spent, of {limit}>"
    state = account.state(59)
    assert (state.used, state.allowed, state.foreign, state.resets_in, state.paused_for) == (1, limit, 0, None, None)
    assert account.state(60).used == 0


CELL = {
    "kind": st.sampled_from(["fixed", "aligned", "sliding", "bucket"]),
    "limit": st.integers(5, 30),
    "window": st.integers(5, 20),
    "requests": st.integers(100, 200),
    "workers": st.integers(1, 20),
    "latency": st.sampled_from(sorted(LATENCIES)),
    "seed": st.integers(0, 10_000),
}


def refusals(
    kind: str, headers: str, *, limit: int, window: int, requests: int, workers: int, latency: str, seed: int
) -> list[tuple[float, float]]:
    """The 429s of a client that is alone and knows the limit: when each request was sent and when it was refused."""
    world = World(
        quota_window(kind, limit, window),
        latency=LATENCIES[latency],
        workers=workers,
        requests=requests,
        headers=headers,
        limit=limit,
        seed=seed,
    )
    return world.run(QuotaAccount(limit, window)).refusals


@given(headers=st.sampled_from(["off", "on"]), **CELL)
# Permits came back before the window's end as it was told, which is up to a second late, and were counted in the next.
@example(
    kind="fixed", headers="on", limit=11, window=10, requests=107, workers=7, latency="constant", seed=1
)  # fmt: skip
# A sliding server's oldest request left it soon after what looked like the end of a window.
@example(
    kind="sliding", headers="on", limit=10, window=5, requests=100, workers=1, latency="log-normal", seed=8
)  # fmt: skip
@example(
    kind="sliding", headers="on", limit=10, window=8, requests=133, workers=4, latency="constant", seed=1
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_alone_there_is_no_429_with_truthful_headers_or_without(kind: str, headers: str, **cell: Any) -> None:
    assert refusals(kind, headers, **cell) == []


@given(**CELL)
# A reset told too short moved the window's end.
@example(kind="fixed", limit=10, window=5, requests=100, workers=1, latency="constant", seed=1)
@settings(deadline=None, max_examples=200)
def test_alone_headers_that_lied_once_cost_no_429_from_a_window_later_on(kind: str, **cell: Any) -> None:
    """
    No 429 at all is impossible.

    Headers may tell, without a flaw, of a fixed window with room in it, where the server's window slides and has none;
    who never believes them is no faster with truthful ones than without. But the first 429 gives them away.
    """
    refused = refusals(kind, "adversarial", **cell)
    if refused:
        given_away_at = min(told_at for _, told_at in refused)
        assert max(sent_at for sent_at, _ in refused) < given_away_at + cell["window"]


class Twins:
    """An account, and another that takes nothing for granted, however calm it is: whatever is asked, both agree."""

    def __init__(self, limit: int, window: int) -> None:
        self._calm, self._alert = QuotaAccount(limit, window), QuotaAccount(limit, window)
        self._twin_of: dict[int, Permit] = {}

    def take(self, now: float) -> Permit | None:
        self._alert._end_calm()
        permit, twin = self._calm.take(now), self._alert.take(now)
        assert permit == twin
        if permit is not None and twin is not None:
            self._twin_of[id(permit)] = twin
        return permit

    def next_chance(self, now: float) -> float:
        chance = self._calm.next_chance(now)
        assert chance == self._alert.next_chance(now)
        return chance

    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._alert._end_calm()
        self._calm.spend(permit, now, reading)
        self._alert.spend(self._twin_of.pop(id(permit)), now, reading)
        assert self._calm.allowed == self._alert.allowed

    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool:
        longer = self._calm.refuse(permit, now, pause, told=told)
        assert longer == self._alert.refuse(self._twin_of.pop(id(permit)), now, pause, told=told)
        return longer


@pytest.mark.parametrize("headers", ["on", "off", "vanishing", "late", "adversarial"])
@pytest.mark.parametrize("kind", ["fixed", "aligned", "sliding", "bucket"])
def test_what_is_taken_for_granted_while_it_is_calm_changes_no_decision(kind: str, headers: str) -> None:
    for limit, others_rate, named, workers in product([20, 150], [0.0, 1.0], [1.0, 1.5], [3, 12]):
        world = World(
            quota_window(kind, limit, 5),
            latency=LATENCIES["log-normal"],
            workers=workers,
            requests=200,
            others_rate=others_rate,
            headers=headers,
            limit=limit,
        )
        world.run(Twins(int(named * limit), 5))


def told_by(account: QuotaAccount, began: float) -> list[object]:
    """What an account says of a quarter of a minute whose every reply tells that none but itself was counted."""
    said: list[object] = []
    for quarter in range(60):
        now = began + quarter / 4
        permit = account.take(now)
        if permit is not None:
            account.spend(permit, now + 0.125, Reading(1, 30, 60 - quarter // 4))
        said += [permit is not None, account.state(now + 0.125), account.next_chance(now + 0.125) - began]
    return said


def test_it_makes_no_difference_for_how_long_the_machine_has_been_up() -> None:
    assert told_by(QuotaAccount(30, 60), 0.0) == told_by(QuotaAccount(30, 60), 1_000_000.0)


class AnyUseOfAnAccount(RuleBasedStateMachine):
    """Everything that may be done with permits, in any order, with any replies."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.held: list[Permit] = []

    @initialize(limit=st.integers(1, 12), window=st.integers(1, 20))
    def open(self, limit: int, window: int) -> None:
        self.account = QuotaAccount(limit, window)

    @rule(seconds=st.one_of(st.sampled_from([0.0, 0.1, 1.0, 2.0]), st.floats(0, 90)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 8))
    def take(self, count: int) -> None:
        for _ in range(count):
            is_now = self.account.next_chance(self.now) == self.now
            permit = self.account.take(self.now)
            assert (permit is not None) is is_now
            if permit is None:
                break
            self.held.append(permit)

    @rule(number=st.integers(0, 20), reading=st.one_of(st.none(), READINGS))
    def spend(self, number: int, reading: Reading | None) -> None:
        if self.held:
            self.account.spend(self.held.pop(number % len(self.held)), self.now, reading)

    @rule(number=st.integers(0, 20), pause=st.one_of(st.integers(0, 70), st.just(86_400)), told=st.booleans())
    def refuse(self, number: int, pause: int, told: bool) -> None:
        if self.held:
            self.account.refuse(self.held.pop(number % len(self.held)), self.now, pause, told=told)
            assert self.account.paused_until >= self.now + pause

    @rule(number=st.integers(0, 20))
    def give_back(self, number: int) -> None:
        if self.held:
            self.account.give_back(self.held.pop(number % len(self.held)))

    @invariant()
    def the_next_chance_is_never_in_the_past_and_is_known_while_nothing_is_in_flight(self) -> None:
        chance = self.account.next_chance(self.now)
        assert chance >= self.now
        assert chance < FOREVER or self.held

    @invariant()
    def every_permit_held_is_charged(self) -> None:
        assert self.account.used(self.now) >= len(self.held)
        assert self.account.state(self.now).used == self.account.used(self.now)

    def teardown(self) -> None:
        while self.held:
            self.account.spend(self.held.pop(), self.now)
        in_flight, _, _ = repr(self.account).partition(",")
        assert in_flight == "<QuotaAccount 0 in flight"
        for _ in range(MAX_VAIN_CHANCES + 1):
            self.now = self.account.next_chance(self.now)
            assert self.now < FOREVER
            if self.account.take(self.now) is not None:
                return
        raise AssertionError("the account names one time after the other, and gives no permit")


AnyUseOfAnAccount.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
TestNoPermitIsEverLost = AnyUseOfAnAccount.TestCase


NAMES = ["inin-ratelimit-count", "inin-ratelimit-allowed", "inin-ratelimit-reset"]


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(NAMES), st.text()),
        st.one_of(
            st.text(), st.integers().map(str), st.sampled_from(["1_0", "٣", " 7 ", "+5", "1e3", "nan", "9" * 5_000])
        ),
    )
)
@example({})
@example(dict.fromkeys(NAMES, "9" * 5_000))
@example(dict.fromkeys(NAMES, "9" * 4_000))
@settings(deadline=None, max_examples=200)
def test_reading_headers_never_raises_and_gives_whole_numbers_or_nothing(headers: dict[str, str]) -> None:
    reading = Reading.from_headers(headers)
    if reading is not None:
        assert all(type(each) is int for each in (reading.count, reading.allowed, reading.reset))
        QuotaAccount(300, 60).spend(Permit(0, 0, 0, 0, 0, is_probe=False), 1, reading)


@pytest.mark.parametrize("missing", NAMES)
def test_headers_of_which_one_is_missing_say_nothing(missing: str) -> None:
    whole = {"inin-ratelimit-count": "7", "inin-ratelimit-allowed": "300", "inin-ratelimit-reset": "61"}
    assert Reading.from_headers(whole) == Reading(7, 300, 61)
    assert Reading.from_headers({name: value for name, value in whole.items() if name != missing}) is None
    assert Reading.from_headers(whole | {missing: "many"}) is None
