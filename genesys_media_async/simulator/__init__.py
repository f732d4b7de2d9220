"""
A local Genesys Cloud for the demo, the tests and the benchmarks: OAuth, quotas, errors, delays and faults.

It serves every family of operations that hands out a media URL, and those that find what to ask for; the organization
behind them is `Simulator.organization`, which knows the ids of everything there is.
"""

from .batch import BatchItem, BatchJob
from .counts import Counts
from .family_settings import (
    AnalyticsSettings,
    BatchSettings,
    DocumentSettings,
    DownloadSettings,
    OrganizationSettings,
    RecordingSettings,
)
from .faults import Fault, JobFault
from .organization import Conversation, Organization, Recording
from .settings import OAuthClient, Quota, SimulatorSettings
from .simulator import Simulator
from .webhooks import Delivery

__all__ = [
    "AnalyticsSettings",
    "BatchItem",
    "BatchJob",
    "BatchSettings",
    "Conversation",
    "Counts",
    "Delivery",
    "DocumentSettings",
    "DownloadSettings",
    "Fault",
    "JobFault",
    "OAuthClient",
    "Organization",
    "OrganizationSettings",
    "Quota",
    "Recording",
    "RecordingSettings",
    "Simulator",
    "SimulatorSettings",
]
