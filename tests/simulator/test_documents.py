"""The content of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genesys_media_async.simulator import DocumentSettings, Simulator
from tests.support.virtual_simulators import DOCUMENT, bare_get, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


def test_a_documents_content_is_prepared_before_it_has_a_location() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        document_id = simulator.organization.document_ids()[0]
        path = DOCUMENT.format(document_id)
        early = await http.get(path)
        assert (early.status_code, early.content) == (202, b"")
        await clock.sleep(1.0)
        body = (await http.get(path)).json()
        assert (body["id"], body["state"]) == (document_id, "Completed")
        converted = await http.get(path, params={"contentType": "image/png", "disposition": "inline"})
        assert converted.status_code == 202
        assert (await http.get(path, params={"disposition": "sideways"})).status_code == 400
        assert (await http.get(DOCUMENT.format("nobody"))).json()["code"] == "not.found"
        return await bare_get(http, body["contentLocationUri"])

    media, _ = in_virtual_time(scenario)
    assert (media.status_code, media.headers["content-type"]) == (200, "application/pdf")


def test_a_document_that_is_not_ready_can_have_a_state_of_its_own() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(DOCUMENT.format(simulator.organization.document_ids()[0]))
        return reply.status_code, reply.json()

    (status, body), _ = in_virtual_time(scenario, document=DocumentSettings(preparing_reply="running"))
    assert (status, body["state"]) == (200, "Running")
    assert "contentLocationUri" not in body
