"""The TLS that is used by default."""

from __future__ import annotations

import ssl

import httpx


def tls_context() -> ssl.SSLContext:
    """Return httpx's own context (certifi's roots, or those of `SSL_CERT_FILE`), with TLS 1.2 as the minimum."""
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
