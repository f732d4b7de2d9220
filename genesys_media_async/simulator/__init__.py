"""A local Genesys Cloud for the demo, the tests and the benchmarks: OAuth, quotas, errors, delays and faults."""

from .counts import Counts
from .faults import Fault
from .settings import OAuthClient, Quota, SimulatorSettings
from .simulator import Simulator
from .webhooks import Delivery

__all__ = ["Counts", "Delivery", "Fault", "OAuthClient", "Quota", "Simulator", "SimulatorSettings"]
