"""Curves without a delay."""

from __future__ import annotations

import pytest

from genesys_media_async.api.retry import curve


@pytest.mark.parametrize(("base_delay", "max_delay"), [(0.0, 0.0), (0.0, 60.0), (1.0, 0.0), (-1.0, 60.0), (1.0, -1.0)])
def test_a_curve_whose_first_or_last_delay_is_none_has_no_delay(base_delay: float, max_delay: float) -> None:
    assert curve(base_delay, max_delay) == (0.0,)
