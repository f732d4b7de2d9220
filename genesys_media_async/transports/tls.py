"""Which TLS is spoken where nobody says otherwise."""

from __future__ import annotations

import ssl

import httpx


def tls_context() -> ssl.SSLContext:
    """Return httpx's own context (certifi's roots, or `SSL_CERT_FILE`'s), with nothing below TLS 1.2."""
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
