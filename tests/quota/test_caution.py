"""Care after a refusal, and the probe."""

from __future__ import annotations

from genesys_media_async.quota.caution import PROBE_TIMEOUT, Caution
from genesys_media_async.quota.permit import Decision, Permit
from genesys_media_async.quota.shortcut import Shortcut


def test_it_lasts_for_some_windows_and_is_never_shortened() -> None:
    caution = Caution(60.0, Shortcut())
    caution.extend(100.0, 10)
    assert caution.until == 700.0
    caution.extend(110.0, 9)
    assert caution.until == 700.0


def test_its_beginning_closes_the_shortcut_and_its_extension_does_not() -> None:
    shortcut = Shortcut()
    caution = Caution(60.0, shortcut)
    shortcut.open(Decision(), until=1_000.0, up_to=10, window=None)
    caution.extend(0.0, 10)
    assert shortcut.until < 0
    shortcut.open(Decision(), until=1_000.0, up_to=10, window=None)
    caution.extend(1.0, 10)
    assert shortcut.until == 1_000.0


def test_others_wait_for_a_probe_until_its_reply_or_its_timeout() -> None:
    caution = Caution(60.0, Shortcut())
    probe, other = (Permit(5.0, 0, Decision(is_probe=True)) for _ in range(2))
    assert not caution.is_probing(5.0)
    caution.probe = probe
    caution.forget(other)
    assert caution.is_probing(5.0 + PROBE_TIMEOUT - 0.1)
    assert not caution.is_probing(5.0 + PROBE_TIMEOUT)
    caution.forget(probe)
    assert not caution.is_probing(5.0)
