"""A simulator in a thread of its own, used from synchronous code and from several event loops."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Self

import httpx
import pytest

from genesys_media_async import MediaRetriever
from genesys_media_async.simulator import Fault, JobFault, Quota, SimulatorSettings
from genesys_media_async.testing import ThreadedSimulator, simulator_settings
from tests.support.simulator_users import BASIC, GRANT, path_of

BATCH = "/api/v2/recording/batchrequests"


class SynchronousUser:
    """A client without any event loop."""

    def __init__(self, simulator: ThreadedSimulator) -> None:
        self.http = httpx.Client(base_url=simulator.base_url, trust_env=False)
        self.log_in()

    def log_in(self) -> None:
        token = self.http.post("/oauth/token", data=GRANT, auth=BASIC).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def ask(self, file_id: str = "a") -> int:
        return self.http.post(path_of(file_id), json={"fileId": file_id}).status_code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()


def test_synchronous_code_can_use_it() -> None:
    with ThreadedSimulator() as simulator, SynchronousUser(simulator) as user:
        simulator.script(Fault.SERVER_ERROR_500)
        simulator.script(Fault.SERVER_ERROR_504, operation="postMediaStorageFileDownloadUrl")
        assert [user.ask() for _ in range(3)] == [504, 500, 200]
        simulator.revoke_tokens()
        assert user.ask() == 401
        simulator.script_token(Fault.LATE)
        user.log_in()
        assert user.ask("missing-1") == 404


def test_counts_contain_every_reply_that_a_client_has_received() -> None:
    with ThreadedSimulator(SimulatorSettings(quota=None)) as simulator, SynchronousUser(simulator) as user:
        for number in range(1, 301):
            assert user.ask() == 200
            counts = simulator.counts
            assert (counts.api_ok, counts.in_flight) == (number, 0)


def test_jobs_and_webhooks_are_seen_from_outside() -> None:
    webhook = {"event": "media.url.generated", "fileId": "a", "timestamp": "2026-01-02T03:04:05Z"}
    with ThreadedSimulator() as simulator, SynchronousUser(simulator) as user:
        simulator.script_jobs(JobFault.NEVER_COMPLETES)
        item = {"conversationId": simulator.organization.conversation_at(0).id}
        job_id = user.http.post(BATCH, json={"batchDownloadRequestList": [item]}).json()["id"]
        assert [(job.id, job.fault) for job in simulator.batch_jobs] == [(job_id, JobFault.NEVER_COMPLETES)]
        simulator.forget_jobs()
        assert simulator.batch_jobs == []
        simulator.script_webhook(Fault.SERVER_ERROR_503)
        statuses = [
            user.http.post(simulator.webhook_url, json=webhook, headers={"webhook-id": "1"}).status_code
            for _ in range(2)
        ]
        assert (statuses, len(simulator.deliveries)) == ([503, 204], 1)


def test_several_event_loops_can_use_one_after_the_other() -> None:
    async def retrieve(simulator: ThreadedSimulator) -> bool:
        async with MediaRetriever(simulator_settings(simulator)) as retriever:
            (result,) = await retriever.retrieve_all(["recording-1"])
            return result.ok

    with ThreadedSimulator(SimulatorSettings(quota=Quota(limit=50, seconds=1.0))) as simulator:
        assert [asyncio.run(retrieve(simulator)) for _ in range(3)] == [True] * 3
        assert simulator.counts.token_requests == 3


def test_an_error_in_a_call_is_raised_in_the_callers_thread() -> None:
    with ThreadedSimulator() as simulator:
        with pytest.raises(ValueError, match="unknown operation: getNothing"):
            simulator.script(Fault.HANG, operation="getNothing")
        with pytest.raises(ValueError, match="empty-url"):
            simulator.script_token(Fault.EMPTY_URL)
        with pytest.raises(RuntimeError, match="base_url"):
            simulator.transport()


def test_it_can_be_scripted_before_and_read_after_the_block() -> None:
    simulator = ThreadedSimulator()
    simulator.script(Fault.CLIENT_TIMEOUT_408)
    with simulator, SynchronousUser(simulator) as user:
        assert user.ask() == 408
    assert simulator.counts.by_status == {408: 1}
    simulator.close()


def ask_in_vain(user: SynchronousUser) -> None:
    with pytest.raises(httpx.TransportError):
        user.ask()


def test_the_thread_ends_with_the_block_even_while_a_request_waits() -> None:
    with ThreadedSimulator(SimulatorSettings(fault_seconds=60.0)) as simulator, SynchronousUser(simulator) as user:
        simulator.script(Fault.HANG)
        asking = threading.Thread(target=ask_in_vain, args=(user,))
        asking.start()
        while not simulator.counts.in_flight:
            time.sleep(0.001)
        began = time.perf_counter()
        simulator.close()
        assert time.perf_counter() - began < 5
        asking.join()
    assert "genesys-simulator" not in {thread.name for thread in threading.enumerate()}
    assert (simulator.counts.in_flight, simulator.counts.connections_open) == (0, 0)


def test_a_port_that_is_taken_is_an_error_of_the_with_statement() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = ThreadedSimulator(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="address already in use"), simulator:
            pytest.fail("the block was entered")
    simulator.close()
    assert "genesys-simulator" not in {thread.name for thread in threading.enumerate()}
