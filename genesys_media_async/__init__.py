"""
Thousands of Genesys Cloud media ids in, validated pre-signed download URLs out.

    async with MediaRetriever.from_env() as retriever:
        async for result in retriever.retrieve_many(ids):
            print(result.file_id, result.url if result.ok else result.error)
"""

import logging

from . import endpoints, events, sinks, transports
from .clock import Clock, SystemClock, VirtualClock
from .counters import Statistics
from .discovery.filters import DiscoveryOptions, Interval
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuditWriteError,
    AuthenticationError,
    ConnectError,
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    SettingsError,
    StaleConnectionError,
    TokenRejectedError,
    TokenUnavailableError,
    UrlRejectedError,
)
from .models import DownloadUrl, Failed, MediaRequest, MediaResult, ResultDict, Retrieved
from .quota.permit import QuotaState
from .retrieval.options import RunOptions
from .retrieval.retriever import MediaRetriever
from .retrieval.run import Run
from .settings.policies import QuotaLimit, RetryPolicy, ValidationRule, WebhookTarget
from .settings.settings import Settings, SettingsOptions
from .settings.version import VERSION
from .sinks import JsonLinesSink, LoggingSink, MemorySink, MetricsSink, MetricsSnapshot, Sink

__version__ = VERSION

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuditWriteError",
    "AuthenticationError",
    "Clock",
    "ConnectError",
    "CredentialsRejectedError",
    "DeadlineExceededError",
    "DiscoveryOptions",
    "DownloadUrl",
    "Failed",
    "GenesysMediaError",
    "InternalServerError",
    "Interval",
    "InvalidRequestError",
    "InvalidResponseError",
    "JsonLinesSink",
    "LoggingSink",
    "MediaRequest",
    "MediaResult",
    "MediaRetriever",
    "MemorySink",
    "MetricsSink",
    "MetricsSnapshot",
    "NotFoundError",
    "PermissionDeniedError",
    "QuotaLimit",
    "QuotaState",
    "RateLimitError",
    "ResultDict",
    "Retrieved",
    "RetryPolicy",
    "Run",
    "RunOptions",
    "Settings",
    "SettingsError",
    "SettingsOptions",
    "Sink",
    "StaleConnectionError",
    "Statistics",
    "SystemClock",
    "TokenRejectedError",
    "TokenUnavailableError",
    "UrlRejectedError",
    "ValidationRule",
    "VirtualClock",
    "WebhookTarget",
    "__version__",
    "endpoints",
    "events",
    "sinks",
    "transports",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
