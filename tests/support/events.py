"""Events for tests: one of each kind that matters, events of a user's own, and a strategy for any event."""

from __future__ import annotations

from typing import Any, ClassVar, get_type_hints

from hypothesis import strategies as st

from genesys_media_async import events
from genesys_media_async.events import AttemptAudited, Event, Outcome, QuotaPaused, RetrievalFinished


def audited(file_id: str = "f-1", **changes: Any) -> AttemptAudited:
    values: dict[str, Any] = {
        "at": 1_700_000_000.25,
        "action": "media_storage.download_url",
        "outcome": Outcome.SUCCESS,
        "status": 200,
        "latency": 0.25,
        "user_agent": "agent/1",
        "attempt": 1,
    }
    return AttemptAudited(file_id=file_id, **(values | changes))


def finished(file_id: str = "f-1", **changes: Any) -> RetrievalFinished:
    values: dict[str, Any] = {
        "at": 1.0,
        "outcome": Outcome.SUCCESS,
        "latency": 0.25,
        "attempts": 1,
        "valid": True,
        "content_type": "audio/wav",
        "expires_in": 3_600,
    }
    return RetrievalFinished(file_id=file_id, **(values | changes))


def paused(seconds: float = 1.0) -> QuotaPaused:
    return QuotaPaused(at=1.0, seconds=seconds)


class Tenant(Event, frozen=True):
    """An event of a user's own."""

    name: ClassVar[str] = 'tenant ä "quoted"'

    tenant: str
    share: float = 0.0


class TenantAudited(AttemptAudited, frozen=True):
    """An audit record of a user's own."""

    name: ClassVar[str] = "tenant_audited"

    tenant: str = ""


EVENT_CLASSES: list[type[Event]] = [
    each for each in vars(events).values() if isinstance(each, type) and issubclass(each, Event)
]

_TEXT = st.text(st.characters(categories=None) | st.sampled_from('"\\\n\u2028\ud800'), max_size=20)
_NUMBER = st.floats(allow_nan=False, allow_infinity=False)
_VALUES: dict[object, st.SearchStrategy[object]] = {
    str: _TEXT,
    str | None: st.none() | _TEXT,
    int: st.integers(),
    int | None: st.none() | st.integers(),
    float: _NUMBER,
    bool: st.booleans(),
    Outcome: st.sampled_from(Outcome),
}


def _any_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(kind)
    members = {name: _VALUES[hints[name]] for name in kind.__struct_fields__}
    return st.builds(kind, **(members | {"at": st.floats(0, 4e9)}))


_KINDS: list[type[Event]] = [*EVENT_CLASSES, Tenant, TenantAudited]
ANY_EVENT: st.SearchStrategy[Event] = st.one_of([_any_of(kind) for kind in _KINDS])
