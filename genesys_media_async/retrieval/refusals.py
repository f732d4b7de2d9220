"""The rule for failures that end a whole run: no token, no way to the host, or a source that refuses all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import (
    AllRefusedError,
    AuthenticationError,
    ConnectionSetupError,
    CredentialsRejectedError,
    GenesysMediaError,
    TokenRejectedError,
)

if TYPE_CHECKING:
    from ..endpoints.base import Endpoint


class Refusals:
    """
    Counts refusals from the first id of a run on; nothing is counted any more once an id has succeeded.

    A refusal is a reply of 4xx that a retry does not change. `limit` of them in a row with the same status and code
    make `all_refused`; None means no limit. A batch counts as a whole, since its ids may share one refused request.
    Any other reply shows that the source works, and ends the counting. What never reached Genesys, and what a retry
    may change, counts for nothing.
    """

    def __init__(self, limit: int | None, endpoint: Endpoint) -> None:
        self.all_refused: AllRefusedError | None = None
        self._limit = None if limit is None else max(limit, endpoint.batch_size)
        self._endpoint = endpoint
        self._alike: tuple[int, str] | None = None
        self._count = 0
        self._is_token_accepted = False

    def add(self, error: GenesysMediaError, *, has_success: bool) -> GenesysMediaError | None:
        """
        Count the failure of an id, and return the error to end the run with at once; None to go on.

        Credentials that Genesys rejects give no token to any other id, nor does a certificate or a proxy that is set up
        wrongly let another one pass. A 401 with a new token may be that id's bad
        luck (tokens can be revoked again and again), unless no token was ever accepted.
        """
        if isinstance(error, CredentialsRejectedError | ConnectionSetupError):
            return error.twin()
        if isinstance(error, TokenRejectedError):
            return None if has_success or self._is_token_accepted else error.twin()
        if error.status_code is None or isinstance(error, AuthenticationError):
            return None
        self._is_token_accepted = True
        if self._limit is not None and not error.retryable:
            self._count_reply(error, error.status_code, has_success=has_success)
        return None

    def _count_reply(self, error: GenesysMediaError, status: int, *, has_success: bool) -> None:
        alike = status, error.code
        if has_success or not 400 <= status < 500 or self._alike not in {None, alike}:
            self._limit = None
            return
        self._alike = alike
        self._count += 1
        if self._count == self._limit:
            self.all_refused = _all_refused(self._count, error, status, self._endpoint)


def _all_refused(count: int, error: GenesysMediaError, status: int, endpoint: Endpoint) -> AllRefusedError:
    return AllRefusedError(
        f"{endpoint.action} refused the first {count} ids alike: {error.message}",
        status_code=status,
        correlation_id=error.correlation_id,
        advice=_advice(status, endpoint),
    )


def _advice(status: int, endpoint: Endpoint) -> str:
    if status == 403:
        return f"The OAuth client needs {endpoint.permission}."
    if status == 404:
        kinds = " or ".join(endpoint.id_formats)
        return endpoint.all_not_found or f"Check that each id is a {kinds} of this organisation and region."
    return "Check that the ids and the options suit this source."
