"""The download-url endpoint of media storage, over sockets: its path, its body and its files."""

from __future__ import annotations

import pytest

from tests.support.simulator_users import UUID, assert_error, new_user, path_of

pytestmark = pytest.mark.anyio


async def test_a_client_with_a_token_gets_a_url_and_the_url_serves_the_file() -> None:
    async with new_user() as user:
        reply = await user.ask("file-1", expiresIn=60)
        granted = reply.json()
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        assert UUID.fullmatch(reply.headers["ININ-Correlation-Id"])
        assert granted.keys() == {"url", "expiresIn", "fileName", "contentType"}
        assert granted["expiresIn"] == 60
        media = await user.http.get(granted["url"])
        assert media.status_code == 200
        assert media.headers["content-type"] == granted["contentType"]
        assert len(media.content) == 2048
        assert (await user.http.get(granted["url"])).content == media.content
        assert (await user.http.head(granted["url"])).headers["content-length"] == "2048"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_allowed(method: str) -> None:
    async with new_user() as user:
        reply = await user.http.request(method, path_of("a"))
        assert_error(reply, 405, "method.not.allowed")
        assert reply.headers["allow"] == "POST"


async def test_a_head_request_gets_no_body_and_leaves_the_connection_usable() -> None:
    async with new_user() as user:
        reply = await user.http.head(path_of("a"))
        assert (reply.status_code, reply.content) == (405, b"")
        assert (await user.ask()).status_code == 200
        assert user.simulator.counts.connections_total == 1


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/media/storage/files/../download-url",
        "/api/v2/media/storage/files/%2e%2e/download-url",
        "/api/v2/media/storage/files/./download-url",
        "/api/v2/media/storage/files//download-url",
        "/api/v2/media/storage/files/a//download-url",
        "/api/v2/media/storage/files/a%2Fb/download-url",
        "/api/v2/media/storage/files/a/download-url/",
        "/api/v2/media/storage/files/download-url",
        "/api/v2/media/storage/files/%zz/download-url",
        "/api/v2/media/storage/x/../files/a/download-url",
        "//api/v2/media/storage/files/a/download-url",
        "/api/v2/users/me",
        "/",
    ],
)
async def test_a_path_that_is_not_exactly_the_endpoint_is_not_found(target: str) -> None:
    async with new_user() as user:
        request = user.http.build_request(
            "POST",
            path_of("a"),
            json={"fileId": "a"},
            headers={"Authorization": f"Bearer {user.token}"},
            extensions={"target": target.encode()},
        )
        assert_error(await user.http.send(request), 404, "not.found")
        assert user.simulator.counts.api_requests == 0


@pytest.mark.parametrize("file_id", ["a b", "ä", "a+b", "a%2Fb", "...", "{fileId}", "a:b@c", "x" * 300])
async def test_an_id_of_unusual_characters_works_like_any_other(file_id: str) -> None:
    async with new_user() as user:
        reply = await user.ask(file_id)
        assert reply.status_code == 200
        assert (await user.http.get(reply.json()["url"])).status_code == 200
        assert user.simulator.counts.ok_by_file_id == {file_id: 1}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad.request"),
        (b"{", "bad.request"),
        (b"[]", "bad.request"),
        (b'"a"', "bad.request"),
        (b"\xff", "bad.request"),
        (b"[" * 100_000, "bad.request"),
        (b"{}", "bad.request"),
        (b'{"fileId":"b"}', "bad.request"),
        (b'{"fileId":1}', "bad.request"),
        (b'{"fileId":"a","fileId":"a"}', "bad.request"),
        (b'{"fileId":"a","extra":1}', "bad.request"),
        (b'{"fileId":"a","expiresIn":NaN}', "bad.request"),
        (b'{"fileId":"a","expiresIn":0}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":86401}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":"60"}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":60.0}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":true}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":null}', "invalid.value"),
        (b'{"fileId":"a","accessLevel":""}', "invalid.value"),
        (b'{"fileId":"a","accessLevel":7}', "invalid.value"),
    ],
)
async def test_a_body_with_any_error_is_refused(content: bytes, code: str) -> None:
    async with new_user() as user:
        headers = {"Authorization": f"Bearer {user.token}", "Content-Type": "application/json; charset=utf-8"}
        assert_error(await user.http.post(path_of("a"), content=content, headers=headers), 400, code)


async def test_a_body_must_be_json_and_not_too_large() -> None:
    async with new_user() as user:
        headers = {"Authorization": f"Bearer {user.token}"}
        form = await user.http.post(path_of("a"), data={"fileId": "a"}, headers=headers)
        assert_error(form, 415, "unsupported.media.type")
        headers["Content-Type"] = "application/json"
        large = await user.http.post(path_of("a"), content=b" " * 512_001, headers=headers)
        assert_error(large, 413, "request.entity.too.large")
        assert "512000" in large.json()["message"]
        padded = b'{"fileId":"a"}'.ljust(512_000)
        assert (await user.http.post(path_of("a"), content=padded, headers=headers)).status_code == 200


async def test_the_requested_lifetime_and_access_level_are_granted_up_to_the_maximum() -> None:
    async with new_user(default_url_lifetime=900, max_url_lifetime=1800) as user:
        assert (await user.ask()).json()["expiresIn"] == 900
        assert (await user.ask(expiresIn=1)).json()["expiresIn"] == 1
        assert (await user.ask(expiresIn=86400)).json()["expiresIn"] == 1800
        assert (await user.http.get((await user.ask(expiresIn=1)).json()["url"])).status_code == 200
        assert (await user.ask(accessLevel="read")).json()["accessLevel"] == "read"


async def test_some_ids_are_unknown_forbidden_or_documents() -> None:
    async with new_user(unknown_file_ids=frozenset({"lost"})) as user:
        assert_error(await user.ask("lost"), 404, "not.found")
        assert_error(await user.ask("missing-1"), 404, "not.found")
        forbidden = await user.ask("forbidden-1")
        assert_error(forbidden, 403, "missing.permissions")
        assert "missing the following permission(s): " in forbidden.json()["message"]
        assert (await user.ask("document-1")).json()["contentType"] == "application/pdf"


async def test_the_path_of_the_endpoint_is_a_setting() -> None:
    async with new_user(path_template="/gateway/{file_id}/url") as user:
        headers = {"Authorization": f"Bearer {user.token}"}
        reply = await user.http.post("/gateway/a/url", json={"fileId": "a"}, headers=headers)
        assert reply.status_code == 200
