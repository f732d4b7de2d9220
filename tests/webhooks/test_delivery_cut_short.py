"""The end of the webhooks, when whoever ends them is cancelled."""

from __future__ import annotations

import anyio

from genesys_media_async.clock import VirtualClock
from tests.support.webhook_receiver import Answer, office, retrieved


def test_a_cancelled_end_still_waits_until_each_delivery_is_reported() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with office(clock, always=Answer(after=5.0), concurrency=1) as it:
            it.webhooks.post(retrieved("f-1"))
            it.webhooks.post(retrieved("f-2"))
            await anyio.sleep(1)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await it.webhooks.aclose()
            assert sorted(it.failed()) == [("f-1", 1, "cut_off"), ("f-2", 0, "not_drained")]
            # It did not wait for the receiver either.
            assert clock.monotonic() < 2

    clock.run(main())
