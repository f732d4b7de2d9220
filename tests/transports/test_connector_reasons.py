"""What the error says when there is no connection."""

from __future__ import annotations

import socket

import pytest

from tests.support.exchanges import capped, failure

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refusal_has_the_reason_of_the_operating_system(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    async with capped() as transport:
        error = await failure(transport, f"http://{host}:{port}/")
    assert any(reason in str(error).lower() for reason in ("connect call failed", "refused", "connections failed"))
    assert "ConnectionRefusedError" not in str(error)
