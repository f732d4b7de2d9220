"""A local Genesys Cloud for the demo, the tests and the benchmarks: OAuth, quotas, errors, delays and faults."""

from importlib.util import find_spec as _find_spec

if _find_spec("httptools") is None:
    raise ModuleNotFoundError(
        "the simulator needs httptools: pip install 'genesys-media-async[simulator]'", name="httptools"
    )

from .counts import Counts
from .faults import Fault
from .settings import OAuthClient, Quota, SimulatorSettings
from .simulator import Simulator
from .webhooks import Delivery

__all__ = ["Counts", "Delivery", "Fault", "OAuthClient", "Quota", "Simulator", "SimulatorSettings"]
