"""The fault plan: scripted faults, faults by probability, and their names."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from genesys_media_async.simulator import Fault, Simulator, messages
from genesys_media_async.simulator.faults.plan import FaultPlan
from genesys_media_async.simulator.faults.reply_faults import fault_reply
from tests.support.virtual_simulators import SETTINGS, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


def test_scripted_faults_come_before_those_by_probability() -> None:
    plan = FaultPlan({Fault.HANG: 1.0}, random.Random(0))
    plan.script((None, Fault.LATE))
    assert [plan.draw() for _ in range(3)] == [None, Fault.LATE, Fault.HANG]


def test_faults_are_as_frequent_as_their_probabilities_and_the_same_for_one_seed() -> None:
    def draws(seed: int) -> list[Fault | None]:
        plan = FaultPlan({Fault.HANG: 0.2, Fault.LATE: 0.3}, random.Random(seed))
        return [plan.draw() for _ in range(2000)]

    met = draws(1)
    assert met == draws(1) != draws(2)
    assert 300 < met.count(Fault.HANG) < 500
    assert 500 < met.count(Fault.LATE) < 700


def test_every_fault_has_a_name_for_the_command_line() -> None:
    assert all(fault.value == fault.name.lower().replace("_", "-") for fault in Fault)


Kind = Literal["fixed", "aligned", "sliding"]


def test_a_fault_that_only_spoils_a_reply_does_not_replace_it() -> None:
    replaced = {fault for fault in Fault if fault_reply(fault, messages.Kind.API, (), "id") is not None}
    assert Fault.SERVER_ERROR_500 in replaced
    assert not replaced & {Fault.LATE, Fault.SLOW_DRIP, Fault.EMPTY_URL, Fault.TRUNCATED_BODY}


def test_faults_can_be_scripted_for_one_operation_and_come_before_those_for_all() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.SERVER_ERROR_500)
        simulator.script(None, Fault.SERVER_ERROR_503, operation="getTokensMe")
        paths = ["/api/v2/tokens/me", "/api/v2/tokens/me", "/api/v2/tokens/me", SETTINGS]
        with pytest.raises(ValueError, match="unknown operation: getNothing"):
            simulator.script(Fault.HANG, operation="getNothing")
        return [(await http.get(path)).status_code for path in paths]

    assert in_virtual_time(scenario)[0] == [200, 503, 500, 200]
