"""
A simulator in a thread of its own, for synchronous code and for fixtures.

It has an event loop of its own, too, so nothing depends on the caller's: there can be none, or one for each test.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, NoReturn, TypeVar

from ..simulator.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from ..simulator.counts import Counts
    from ..simulator.fault_kinds import Fault, JobFault
    from ..simulator.services.batch import BatchJob
    from ..simulator.services.webhooks import Delivery

T = TypeVar("T")

THREAD_TIMEOUT = 10.0
"""Seconds to wait for the simulator's thread, which needs less than one for anything."""


class ThreadedSimulator(Simulator):
    """
    A `Simulator` that runs in a thread of its own and can be used from any other thread.

    `with` starts and closes it; the arguments are those of `Simulator`:

        with ThreadedSimulator() as simulator:
            settings = simulator_settings(simulator)

    Its methods, and the properties that change, run in that thread between two requests. Thus `counts` contains every
    reply that a client has received; read the property again after each request. `transport()` is not supported, since
    it would answer in the caller's thread.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event
    _thread: threading.Thread

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="genesys-simulator", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.close()
            self._thread.join(THREAD_TIMEOUT)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread; does nothing before the start or after the first call."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(THREAD_TIMEOUT)

    @property
    def counts(self) -> Counts:
        """The counts of requests, replies and connections, with all replies that were received so far."""
        return self._between_requests(lambda: super(ThreadedSimulator, self).counts)

    @property
    def deliveries(self) -> list[Delivery]:
        """The webhooks that were accepted so far."""
        return self._between_requests(lambda: list(super(ThreadedSimulator, self).deliveries))

    @property
    def batch_jobs(self) -> list[BatchJob]:
        """The known batch download jobs, in the order of their submission."""
        return self._between_requests(lambda: super(ThreadedSimulator, self).batch_jobs)

    def script(self, *faults: Fault | None, operation: str | None = None) -> None:
        """Set the faults of the next API requests, as `Simulator.script` does."""
        self._between_requests(lambda: super(ThreadedSimulator, self).script(*faults, operation=operation))

    def script_jobs(self, *faults: JobFault | None) -> None:
        """Set the faults of the next batch download jobs, as `Simulator.script_jobs` does."""
        self._between_requests(lambda: super(ThreadedSimulator, self).script_jobs(*faults))

    def script_token(self, *faults: Fault | None) -> None:
        """Set the faults of the next token requests, as `Simulator.script_token` does."""
        self._between_requests(lambda: super(ThreadedSimulator, self).script_token(*faults))

    def script_webhook(self, *faults: Fault | None) -> None:
        """Set the faults of the next webhooks, as `Simulator.script_webhook` does."""
        self._between_requests(lambda: super(ThreadedSimulator, self).script_webhook(*faults))

    def revoke_tokens(self) -> None:
        """Revoke every token."""
        self._between_requests(super().revoke_tokens)

    def forget_jobs(self) -> None:
        """Forget every batch and analytics job, as `Simulator.forget_jobs` does."""
        self._between_requests(super().forget_jobs)

    def transport(self) -> NoReturn:
        """Raise RuntimeError: without a socket the requests would be handled in the caller's thread."""
        raise RuntimeError("A ThreadedSimulator is reached by its base_url; for transport() use a Simulator.")

    def _between_requests(self, function: Callable[[], T]) -> T:
        """Call a function in the simulator's thread, between two requests, and return its result."""
        loop = self._loop
        if loop is None or threading.current_thread() is self._thread:
            return function()
        done: Future[T] = Future()
        loop.call_soon_threadsafe(_fulfil, done, function)
        return done.result(THREAD_TIMEOUT)

    def _serve(self, started: Future[None]) -> None:
        asyncio.run(self._run(started))

    async def _run(self, started: Future[None]) -> None:
        self._stop = asyncio.Event()
        try:
            await self.__aenter__()
        except Exception as error:  # noqa: BLE001 - the thread that waits for the start gets it
            started.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        started.set_result(None)
        try:
            await self._stop.wait()
        finally:
            await self.aclose()


def _fulfil(done: Future[T], function: Callable[[], T]) -> None:
    try:
        done.set_result(function())
    except Exception as error:  # noqa: BLE001 - the thread that waits for the result gets it
        done.set_exception(error)
