"""Settings that reach a simulator, and a run that collects its results."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from genesys_media_async import MediaResult, MediaRetriever, RetryPolicy, RunOptions, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from typing import Unpack

    from genesys_media_async.simulator import Simulator

QUICK_RETRIES = RetryPolicy(base_delay=0.01, max_delay=0.1)


def settings_for(simulator: Simulator, **overrides: object) -> Settings:
    """Settings that reach a simulator, with no quota unless one is given."""
    values: dict[str, object] = {
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "base_url": simulator.base_url,
        "login_url": simulator.login_url,
        "quota": None,
    }
    return Settings.model_validate(values | overrides)


async def collect(
    retriever: MediaRetriever, ids: Iterable[str] | AsyncIterable[str], **options: Unpack[RunOptions]
) -> list[MediaResult]:
    """Run over the ids and keep the results in the order in which they came."""
    async with retriever.retrieve_many(ids, **options) as results:
        return [result async for result in results]


def other_tasks() -> set[str]:
    """Names of the tasks that run beside the caller's."""
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
