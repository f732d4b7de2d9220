"""
A local Genesys Cloud for the demo, the tests and the benchmarks: OAuth, quotas, errors, delays and faults.

It serves every family of operations that returns media URLs, and those that find the ids. `Simulator.organization` is
the organization behind them, with the ids of everything in it.
"""

from .counts import Counts
from .family_settings import (
    AnalyticsSettings,
    BatchSettings,
    DocumentSettings,
    OrganizationSettings,
    PlatformDownloadSettings,
    RecordingSettings,
)
from .fault_kinds import Fault, JobFault
from .organization import Conversation, Organization, Recording
from .outages import OutageKind
from .request_log import RequestLog
from .services.batch import BatchItem, BatchJob
from .services.webhooks import Delivery
from .settings import OAuthClient, Quota, SimulatorSettings
from .simulator import Simulator

__all__ = [
    "AnalyticsSettings",
    "BatchItem",
    "BatchJob",
    "BatchSettings",
    "Conversation",
    "Counts",
    "Delivery",
    "DocumentSettings",
    "Fault",
    "JobFault",
    "OAuthClient",
    "Organization",
    "OrganizationSettings",
    "OutageKind",
    "PlatformDownloadSettings",
    "Quota",
    "Recording",
    "RecordingSettings",
    "RequestLog",
    "Simulator",
    "SimulatorSettings",
]
