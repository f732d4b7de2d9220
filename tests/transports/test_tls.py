"""The default TLS: which certificates it trusts, and the sentence for variables that name none."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import pytest

from genesys_media_async import MediaRetriever, Settings, WebhookTarget
from genesys_media_async.errors import SettingsError
from genesys_media_async.transports.tls import tls_context

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
FILES = {
    "gone": (None, "cannot be used: No such file or directory"),
    "a folder": ("", "cannot be used: Is a directory"),
    "empty": (b"", "has no certificate in PEM"),
    "in DER": (b"\x30\x82\x03\x00 not PEM", "has no certificate in PEM"),
    "damaged": (PEM.encode(), "has no certificate in PEM"),
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        tls_context()
    return str(caught.value)


@pytest.mark.parametrize(("content", "problem"), FILES.values(), ids=FILES)
def test_a_file_without_certificates_is_named_with_its_variable(
    content: bytes | str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path if content == "" else tmp_path / "roots.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert refusal() == f"SSL_CERT_FILE names {str(path)!r}, which {problem}. Correct it, or remove the variable."


def test_a_folder_needs_certificates_under_hashed_names(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "gone"))
    assert "No such file or directory" in refusal()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    authority.cert_pem.write_to_path(str(tmp_path / "roots.pem"))
    assert "`openssl rehash`" in refusal()
    monkeypatch.setenv("SSL_CERT_DIR", f"/no/such/folder{os.pathsep}{tmp_path}")
    authority.cert_pem.write_to_path(str(tmp_path / "0a1b2c3d.0"))
    assert tls_context().verify_mode is ssl.CERT_REQUIRED


def test_an_unused_folder_is_not_looked_at(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", "/no/such/folder")
    assert tls_context().cert_store_stats()["x509"] == 1


def test_a_log_of_keys_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/no/such/folder/keys")
    assert refusal().startswith("SSLKEYLOGFILE names '/no/such/folder/keys', which cannot be used: No such file")


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ["auto", "direct", "httpx"])
async def test_a_retriever_does_not_open_without_certificates_if_any_host_needs_them(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    here = {"base_url": "http://127.0.0.1:1", "login_url": "http://127.0.0.1:1"}
    hook = WebhookTarget(url="https://hooks.example.com/")
    for options in ({}, {**here, "webhook": hook}):
        retriever = MediaRetriever(Settings(access_token="any", **options), transport=transport)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
            await retriever.open()
    if transport != "httpx":
        async with MediaRetriever(Settings(access_token="any", **here), transport=transport):  # type: ignore[arg-type]
            pass
