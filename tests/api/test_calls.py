"""The values of a call: a result, and its shares for several media."""

from __future__ import annotations

import pytest

from genesys_media_async import DownloadUrl, NotFoundError
from genesys_media_async.api.calls import CallResult


class TestCallResult:
    ABOUT_MANY = CallResult("a reply about many", None, 3, 0.25, "correlated")

    def test_for_one_medium_keeps_what_was_spent(self) -> None:
        url = DownloadUrl("https://media.example.com/a", 60.0, 60)
        assert self.ABOUT_MANY.with_outcome(url) == CallResult(url, None, 3, 0.25, "correlated")

    def test_for_one_medium_adds_the_correlation_id_to_the_error(self) -> None:
        error = NotFoundError("It is not there.")
        assert self.ABOUT_MANY.with_outcome(error) == CallResult(None, error, 3, 0.25, "correlated")
        assert error.correlation_id == "correlated"
        other = NotFoundError("It is not there.", correlation_id="its own")
        self.ABOUT_MANY.with_outcome(other)
        assert other.correlation_id == "its own"

    def test_with_an_error_holds_no_frames(self) -> None:
        with pytest.raises(NotFoundError) as raised:
            raise NotFoundError("It is not there.") from ValueError("a frame with secrets")
        result = self.ABOUT_MANY.with_outcome(raised.value)
        assert result.error is not None
        assert (result.error.__traceback__, result.error.__context__, result.error.__cause__) == (None, None, None)

    def test_does_not_show_its_value(self) -> None:
        assert "reply" not in repr(self.ABOUT_MANY)
