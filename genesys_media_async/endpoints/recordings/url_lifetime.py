"""How long a recording's URL lives: no reply says so, but the URL itself may, or the organisation's settings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal
from weakref import WeakKeyDictionary

import anyio
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ...api.calls import Call
from ..base import read_json
from ..signed_url import DEFAULT_URL_LIFE, says_its_end, signed_url

if TYPE_CHECKING:
    from ...models import DownloadUrl, ExpirySource
    from ...transports.base import HttpReply
    from ..base import EndpointContext

SETTINGS_PATH = "/api/v2/recording/settings"

_Minutes = Annotated[int, Field(ge=1, le=1_440)] | None


class RecordingSettings(BaseModel):
    """
    The organisation's settings, as far as they are used: minutes that URLs live.

    Follows `RecordingSettings` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    recordingPlaybackUrlTtl: _Minutes = None  # noqa: N815
    recordingBatchDownloadUrlTtl: _Minutes = None  # noqa: N815


@dataclass(slots=True)
class _Settings:
    """What one event loop has read; the lock is of that loop."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    read: RecordingSettings | None = None


class UrlLife:
    """
    Says of each URL when it ends.

    The settings are asked for when the first URL comes that does not tell, and once in an event loop. Where they may
    not or cannot be read, a URL is taken to live an hour, which is what Genesys grants unless it is told otherwise.
    """

    def __init__(self, setting: Literal["recordingPlaybackUrlTtl", "recordingBatchDownloadUrlTtl"]) -> None:
        self._setting = setting
        self._settings: WeakKeyDictionary[asyncio.AbstractEventLoop, _Settings] = WeakKeyDictionary()

    async def signed_url(
        self,
        url: str,
        context: EndpointContext,
        *,
        sent_at: float,
        file_name: str | None = None,
        content_type: str | None = None,
    ) -> DownloadUrl:
        """Return what is known of a URL that came in reply to a request sent at `sent_at` (seconds since 1970)."""
        minutes = None if says_its_end(url) else getattr(await self._read(context), self._setting)
        known_from: ExpirySource = "default" if minutes is None else "settings"
        return signed_url(
            url,
            sent_at=sent_at,
            otherwise=DEFAULT_URL_LIFE if minutes is None else 60.0 * minutes,
            known_from=known_from,
            file_name=file_name,
            content_type=content_type,
        )

    async def _read(self, context: EndpointContext) -> RecordingSettings:
        settings = self._settings.setdefault(asyncio.get_running_loop(), _Settings())
        async with settings.lock:
            if settings.read is None:
                answer = await context.call(
                    Call("GET", SETTINGS_PATH, b"", "recording-settings", "recording.settings", _read)
                )
                settings.read = answer.value or RecordingSettings()
        return settings.read


_SHAPE = TypeAdapter(RecordingSettings)


def _read(reply: HttpReply, _: float) -> RecordingSettings:
    return read_json(_SHAPE, reply)
