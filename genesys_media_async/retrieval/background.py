"""Tasks that outlive the task that started them: a task group in a task of its own, and waiting that nobody cuts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from anyio.abc import TaskGroup


class BackgroundTasks:
    """
    Tasks that run beside their owner until `aclose`.

    An anyio task group must be left by the task that entered it. Users hold a retriever in fixtures, notebook cells,
    service classes and exit stacks, which open and close it in different tasks; so the group lives in a task of its
    own. Neither a cancel scope around `open` nor one around `aclose` reaches the tasks.
    """

    def __init__(self) -> None:
        self.task_group: TaskGroup
        """The group, once it is open."""
        self._closing = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the task group; if this is cancelled, nothing is left running."""
        opened = asyncio.Event()
        self._holder = asyncio.create_task(self._hold(opened), name="genesys_media_async background")
        try:
            await opened.wait()
        except BaseException:
            await self.aclose()
            raise
        if self.is_closing:
            await self.aclose()
            raise RuntimeError("It was closed while it was being opened.")

    @property
    def is_closing(self) -> bool:
        """True once `aclose` was called: it cancels the tasks."""
        return self._closing.is_set()

    def start_soon(self, run: Callable[..., Coroutine[object, object, object]], *args: object) -> None:
        """Run a coroutine function as another task of the group, in the context of the caller."""
        self.task_group.start_soon(run, *args)

    async def aclose(self) -> None:
        """
        Cancel all tasks and wait until they have ended; may be called in any task, and more than once.

        A cancellation meanwhile is raised at the end, since the tasks are ending already. An exception that a task
        raised comes out as itself if it is the only one, otherwise in an exception group.
        """
        self._closing.set()
        if self._holder is not None:
            await ended(self._holder)
            self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what ended the tasks early, if anything did. Raises `RuntimeError` if it was a cancellation."""
        if self._holder is None or not self._holder.done():
            return
        if self._holder.cancelled():
            if not self.is_closing:
                raise cancelled_from_outside()
            return
        failure = _alone(self._holder.exception())
        if failure is not None:
            # A new traceback each time: two closers must not add to each other's.
            raise failure.with_traceback(None)

    async def _hold(self, opened: asyncio.Event) -> None:
        async with anyio.create_task_group() as self.task_group:
            opened.set()
            await self._closing.wait()
            self.task_group.cancel_scope.cancel()


def cancelled_from_outside() -> RuntimeError:
    """Error for tasks of this package that other code cancelled, for example with all tasks of the program."""
    return RuntimeError(
        "The tasks of this MediaRetriever were cancelled from outside: close the retriever before you cancel all tasks "
        "or leave the event loop, then open another one."
    )


def _alone(error: BaseException | None) -> BaseException | None:
    """Return the only exception of a group, or what it was given."""
    # By getattr, since type checkers know the members of an unparametrized group only as Any.
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _alone(inner[0]) if len(inner) == 1 else error


async def ended(task: asyncio.Task[None], *, on_cancel: Callable[[], object] = lambda: None) -> None:
    """
    Wait for the end of a task, whatever it is; a cancellation meanwhile is raised afterwards.

    `on_cancel` is called at once with the first of them. The task must end by itself, within bounds.
    """
    cancelled: asyncio.CancelledError | None = None
    try:
        # A scope's cancellation comes once here; behind the shield only `Task.cancel` gets through.
        await asyncio.wait({task})
    except asyncio.CancelledError as error:
        cancelled = error
        on_cancel()
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
