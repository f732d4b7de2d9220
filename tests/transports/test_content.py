"""Bodies: which encodings are undone, within which bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.errors import InvalidResponseError
from genesys_media_async.transports.content import bounded, decoded

LIMIT = 65_536
JSON = b'{"url": "https://media.example.com/a.wav"}'


def packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def bare(body: bytes) -> bytes:
    """Compress as servers do that take deflate for the name of the algorithm."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def refusal(body: bytes, encoding: str, limit: int = LIMIT) -> InvalidResponseError:
    with pytest.raises(InvalidResponseError) as caught:
        decoded(body, encoding, 200, limit)
    return caught.value


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (JSON, ""),
        (JSON, "identity"),
        (JSON, " , Identity"),
        (packed(JSON), "gzip"),
        (packed(JSON), "GZIP"),
        (packed(JSON), "x-gzip"),
        (packed(JSON), "gzip, identity"),
        (packed(JSON[:9]) + packed(JSON[9:]), "gzip"),
        (zlib.compress(JSON), "deflate"),
        (bare(JSON), "deflate"),
    ],
)
def test_an_encoding_that_is_understood_is_undone(body: bytes, encoding: str) -> None:
    assert decoded(body, encoding, 200, LIMIT) == JSON


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "aes128gcm", "\x1b[31m", "x" * 999]
)
def test_another_encoding_is_refused_for_good(encoding: str) -> None:
    error = refusal(JSON, encoding)
    assert (error.code, error.retryable) == ("reply_compressed", False)
    assert str(error).isprintable()
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (JSON, "gzip"),
        (packed(JSON)[:-1], "gzip"),
        (packed(JSON)[:20], "gzip"),
        (packed(JSON) + b"more", "gzip"),
        (packed(JSON)[:-8] + bytes(8), "gzip"),
        (bare(JSON), "gzip"),
        (bare(JSON)[:-1], "deflate"),
        (JSON, "deflate"),
    ],
)
def test_what_is_damaged_may_be_whole_the_next_time(body: bytes, encoding: str) -> None:
    error = refusal(body, encoding)
    assert (error.code, error.retryable) == ("reply_damaged", True)


@pytest.mark.parametrize("pack", [packed, zlib.compress, bare])
def test_the_bound_holds_for_what_comes_out(pack) -> None:
    encoding = "gzip" if pack is packed else "deflate"
    assert decoded(pack(b"0" * LIMIT), encoding, 200, LIMIT) == b"0" * LIMIT
    assert refusal(pack(b"0" * (LIMIT + 1)), encoding).code == "reply_too_large"


def test_a_bomb_is_not_inflated() -> None:
    bombs = [packed(b"0" * 50_000_000), packed(b"0" * 40_000) * 1_000]
    tracemalloc.start()
    try:
        for bomb in bombs:
            assert refusal(bomb, "gzip").code == "reply_too_large"
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_an_empty_body_has_no_encoding(encoding: str) -> None:
    assert decoded(b"", encoding, 204, LIMIT) == b""


@pytest.mark.parametrize("status", [302, 403, 429, 503, 999])
def test_an_error_loses_a_body_that_cannot_be_read_and_nothing_else(status: int) -> None:
    assert decoded(JSON, "br", status, LIMIT) == b""
    assert decoded(JSON, "gzip", status, LIMIT) == b""
    assert decoded(packed(JSON), "gzip", status, 9) == JSON[:9]
    assert bounded(JSON, status, 9) == JSON[:9]


@given(st.binary(max_size=2_000), st.sampled_from(["gzip", "deflate"]), st.integers(1, 500))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_a_body_within_the_bound_or_an_error(body: bytes, encoding: str, limit: int) -> None:
    with suppress(InvalidResponseError):
        assert len(decoded(body, encoding, 200, limit)) <= limit
