"""What the direct transport costs and leaves behind."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from genesys_media_async.transports import HttpRequest, connection
from tests.support.exchanges import HEADERS, OPEN_FILES, ask, capped, failure, open_files, turns
from tests.support.retrievers import other_tasks
from tests.support.scripted_server import OK, replying, resetting, serving

pytestmark = pytest.mark.anyio


class TestExchange:
    async def test_by_the_thousand_leave_nothing_behind(self) -> None:
        reply = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"

        class Closing(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                self.transport.write(reply)
                self.transport.close()

        listening = await asyncio.get_running_loop().create_server(Closing, "127.0.0.1", 0, backlog=1000)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        if not OPEN_FILES.exists():
            pytest.skip("this system does not show which files are open")
        async with capped(50) as transport:
            await ask(transport, url)
            await turns(5)
            sockets, tasks = open_files(), other_tasks()

            async def many() -> None:
                for _ in range(100):
                    assert (await ask(transport, url)).body == b"{}"

            await asyncio.gather(*(many() for _ in range(50)))
            await turns(10)
            assert transport.connections_opened == 5_001
            assert open_files() <= sockets
            assert other_tasks() == tasks
            gc.collect()
            assert not [each for each in gc.get_objects() if type(each) is connection.Connection]
        listening.close()
        await listening.wait_closed()

    async def test_that_broke_off_says_that_it_may_have_been_carried_out(self) -> None:
        async with serving(resetting) as (_, url), capped() as transport:
            assert "Genesys may have carried it out" in str(await failure(transport, url))

    async def test_enters_two_files_for_a_plain_success(self) -> None:
        entered: list[str] = []

        def note(frame: Any, event: str, argument: Any) -> None:
            if event == "call" and "genesys_media_async" in frame.f_code.co_filename:
                entered.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}")

        async with serving(replying(OK)) as (_, url), capped() as transport:
            request = HttpRequest.to("POST", url, HEADERS, b"body")
            for _ in range(3):
                await transport.exchange(request, timeout=5)
            sys.setprofile(note)
            try:
                await transport.exchange(request, timeout=5)
            finally:
                sys.setprofile(None)
        assert {each.partition(":")[0] for each in entered} == {"direct.py", "connection.py"}
        assert len(entered) <= 8, entered

    async def test_outside_of_asyncio_names_what_is_missing(self) -> None:
        def begin() -> None:
            exchange = capped().exchange(HttpRequest.to("GET", "http://127.0.0.1:9/", {}), timeout=1)
            with pytest.raises(RuntimeError, match="on asyncio"):
                exchange.send(None)
            response = capped().handle_async_request(httpx.Request("GET", "http://127.0.0.1:9/"))
            with pytest.raises(RuntimeError, match="on asyncio"):
                response.send(None)

        await asyncio.to_thread(begin)
