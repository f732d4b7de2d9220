"""Webhooks: one for each URL of a run."""

from __future__ import annotations

import pytest

from genesys_media_async import MediaRetriever, WebhookTarget
from genesys_media_async.simulator import Simulator
from tests.support.retrievers import collect, settings_for
from tests.support.virtual_runs import ids


@pytest.mark.anyio
async def test_each_url_has_one_webhook_which_contains_it_only_if_configured():
    async with Simulator() as simulator:
        for include_url in (False, True):
            simulator.deliveries.clear()
            target = WebhookTarget(url=simulator.webhook_url, include_url=include_url)
            async with MediaRetriever(settings_for(simulator, webhook=target)) as retriever:
                results = await collect(retriever, [*ids(20), "missing-1"])
            assert len(simulator.deliveries) == 20
            delivered = {delivery.body["fileId"]: delivery.body.get("url") for delivery in simulator.deliveries}
            urls = {result.file_id: result.url for result in results if result.ok}
            assert delivered == (urls if include_url else dict.fromkeys(urls))
        assert simulator.counts.webhook_rejected == 0
