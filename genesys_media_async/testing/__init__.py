"""
Helpers for tests of your own: a simulated Genesys Cloud as a context manager or a pytest fixture.

`simulated_retriever` is an open retriever against a simulator. `simulator_settings` are settings that reach a simulator
of yours. `ThreadedSimulator` is a simulator for synchronous code, for any event loop and for fixtures.
`genesys_media_async.testing.pytest_plugin` has the fixtures; it alone needs pytest.
"""

from .retriever import simulated_retriever
from .settings import simulator_settings
from .threaded_simulator import ThreadedSimulator

__all__ = ["ThreadedSimulator", "simulated_retriever", "simulator_settings"]
