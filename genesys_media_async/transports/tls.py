"""The TLS that is used by default, and the words for what goes wrong with it."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
import httpx

from ..errors import ConnectionSetupError, SettingsError, sanitized

if TYPE_CHECKING:
    from collections.abc import Iterator

HASHED_NAME: Final = re.compile(r"[0-9a-f]{8}\.\d+")
"""A file of `SSL_CERT_DIR` that OpenSSL finds: https://docs.openssl.org/master/man1/openssl-rehash/."""

ADVICE: Final = (
    "Check the host name and this machine's clock, and whether a proxy or firewall intercepts TLS: its root "
    "certificate belongs in the file that SSL_CERT_FILE names."
)


def tls_context() -> ssl.SSLContext:
    """
    Return httpx's own context (certifi's roots, or those of `SSL_CERT_FILE` or `SSL_CERT_DIR`), from TLS 1.2 on.

    Raises `SettingsError` if a variable names what cannot be used.
    """
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if folders and not file:
        _check_folders(folders)
    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        raise _unusable(file, error) from None
    if file and not context.cert_store_stats()["x509"]:
        raise _bad("SSL_CERT_FILE", file, "has no certificate in PEM")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def certificate_error(error: BaseException, url: str) -> ConnectionSetupError | None:
    """Return the error for a certificate that was not accepted, if that is what a failure to connect comes from."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionSetupError(
                f"The certificate of {urlsplit(url).hostname} is not accepted: {tls_words(cause)}.",
                code="certificate_rejected",
                advice=ADVICE,
            )
    return None


def tls_failure(error: BaseException) -> str | None:
    """Return why a TLS handshake failed, None if it is not why a connection could not be made."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLError():
                return f"TLS failed: {tls_words(cause)}"
            case ConnectionResetError() | ConnectionAbortedError() | anyio.BrokenResourceError() | anyio.EndOfStream():
                return "the server ended the TLS handshake; it has to speak TLS 1.2 or newer"
            case _:
                pass
    return None


def tls_words(error: ssl.SSLError) -> str:
    """Return why TLS failed, without the names of OpenSSL's functions."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return error.verify_message.rstrip(".")
    return (error.reason or str(error)).replace("_", " ").lower()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _check_folders(folders: str) -> None:
    """Raise `SettingsError` unless OpenSSL would find a certificate: it opens the folders only when it needs one."""
    problem = "has no certificates under the names that `openssl rehash` makes"
    for folder in folders.split(os.pathsep):
        try:
            if any(HASHED_NAME.fullmatch(each.name) for each in Path(folder).iterdir()):
                return
        except OSError as error:
            problem = f"cannot be used: {error.strerror}"
    raise _bad("SSL_CERT_DIR", folders, problem)


def _unusable(file: str | None, error: OSError) -> SettingsError:
    """Return the error for a context that cannot be made: by the certificates, or else by the log of the keys."""
    if file:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except ssl.SSLError:
            return _bad("SSL_CERT_FILE", file, "has no certificate in PEM")
        except OSError as failure:
            return _bad("SSL_CERT_FILE", file, f"cannot be used: {failure.strerror}")
    keys = os.environ.get("SSLKEYLOGFILE")
    if keys:
        return _bad("SSLKEYLOGFILE", keys, f"cannot be used: {error.strerror}")
    return SettingsError(f"TLS cannot be set up: {sanitized(str(error))}.", advice="Install certifi again.")


def _bad(variable: str, path: str, problem: str) -> SettingsError:
    return SettingsError(f"{variable} names {path!r}, which {problem}.", advice="Correct it, or remove the variable.")
