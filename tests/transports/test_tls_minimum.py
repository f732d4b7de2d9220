"""The TLS that is used by default."""

from __future__ import annotations

import ssl

from genesys_media_async.transports.tls import tls_context


def test_the_default_context_verifies_and_speaks_no_tls_older_than_1_2() -> None:
    context = tls_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
