"""
Fixtures for pytest: a simulated Genesys Cloud for each test, and settings that reach it.

Name the plugin in the `conftest.py` of your root directory:

    pytest_plugins = ["genesys_media_async.testing.pytest_plugin"]

The fixtures are synchronous, because the simulator has a thread and an event loop of its own. Thus they work in
synchronous tests, with pytest-asyncio and with anyio's plugin, in any mode.

No entry point registers the plugin: with one, pytest would import this package at the start of every session of the
environment, whether its tests need it or not, and before coverage is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..simulator.settings import SimulatorSettings
from .settings import simulator_settings
from .threaded_simulator import ThreadedSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..settings.settings import Settings


@pytest.fixture
def genesys_simulator_settings() -> SimulatorSettings:
    """Return the settings of `genesys_simulator`; a fixture of yours with this name replaces them."""
    return SimulatorSettings()


@pytest.fixture
def genesys_simulator(genesys_simulator_settings: SimulatorSettings) -> Iterator[ThreadedSimulator]:
    """Yield a simulated Genesys Cloud that runs as long as the test."""
    with ThreadedSimulator(genesys_simulator_settings) as simulator:
        yield simulator


@pytest.fixture
def genesys_settings(genesys_simulator: ThreadedSimulator) -> Settings:
    """Return settings with which a `MediaRetriever` reaches `genesys_simulator`."""
    return simulator_settings(genesys_simulator)
