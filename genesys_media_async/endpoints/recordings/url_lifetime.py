"""The lifetime of a recording's URL, from the URL itself or from the organisation's settings: no reply names it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal
from weakref import WeakKeyDictionary

import anyio
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ...api.calls import Call
from ..base import read_json
from ..signed_url import DEFAULT_URL_LIFETIME, has_expiry, signed_url

if TYPE_CHECKING:
    from ...models import DownloadUrl, ExpirySource
    from ...transports.base import HttpReply
    from ..base import EndpointContext

SETTINGS_PATH = "/api/v2/recording/settings"

_Minutes = Annotated[int, Field(ge=1, le=1_440)] | None


class RecordingSettings(BaseModel):
    """
    The settings of the organisation that are used: lifetimes of URLs, in minutes.

    Follows `RecordingSettings` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    recordingPlaybackUrlTtl: _Minutes = None  # noqa: N815
    recordingBatchDownloadUrlTtl: _Minutes = None  # noqa: N815


@dataclass(slots=True)
class _Settings:
    """The settings as one event loop has read them; the lock belongs to that loop."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    read: RecordingSettings | None = None


class UrlLifetime:
    """
    Adds to each URL when it expires.

    The organisation's settings are read once in each event loop, for the first URL that has no expiry of its own. If
    they cannot be read, a URL is assumed to live an hour, Genesys's default.
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
        """Return a URL with its expiry; `sent_at` is when its request was sent, in seconds since 1970."""
        minutes = None if has_expiry(url) else getattr(await self._read(context), self._setting)
        known_from: ExpirySource = "default" if minutes is None else "settings"
        return signed_url(
            url,
            sent_at=sent_at,
            default_lifetime=DEFAULT_URL_LIFETIME if minutes is None else 60.0 * minutes,
            known_from=known_from,
            file_name=file_name,
            content_type=content_type,
        )

    async def _read(self, context: EndpointContext) -> RecordingSettings:
        settings = self._settings.setdefault(asyncio.get_running_loop(), _Settings())
        async with settings.lock:
            if settings.read is None:
                result = await context.call(
                    Call("GET", SETTINGS_PATH, b"", "recording-settings", "recording.settings", _read)
                )
                settings.read = result.value or RecordingSettings()
        return settings.read


_SHAPE = TypeAdapter(RecordingSettings)


def _read(reply: HttpReply, _: float) -> RecordingSettings:
    return read_json(_SHAPE, reply)
