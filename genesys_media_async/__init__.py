"""
Thousands of Genesys Cloud media ids in, validated pre-signed download URLs out.

    async with MediaRetriever.from_env() as retriever:
        async with retriever.retrieve_many(ids) as results:
            async for result in results:
                print(result.file_id, result.url or result.error)
"""

import logging

from . import endpoints, events, sinks, transports
from .clock import Clock, SystemClock, VirtualClock
from .discovery import DiscoveryOptions, Interval
from .errors import (
    ApiError,
    AuthenticationError,
    ConnectFailed,
    CredentialsRejected,
    DeadlineExceeded,
    EvidenceLost,
    ExchangeTimeout,
    GenesysMediaError,
    InvalidReply,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    SettingsError,
    TokenUnavailable,
    TransportError,
    Unauthorized,
    UrlRefused,
)
from .models import DownloadUrl, MediaRequest, MediaResult
from .quota.permit import QuotaState
from .retrieval import Retrieval
from .retriever import MediaRetriever, RunOptions
from .settings import VERSION, QuotaLimit, RetryPolicy, Settings, ValidationRule, WebhookTarget
from .sinks import JsonLinesSink, LoggingSink, MemorySink, MetricsSink, MetricsSnapshot, Sink
from .tally import Statistics

__version__ = VERSION

__all__ = [
    "ApiError",
    "AuthenticationError",
    "Clock",
    "ConnectFailed",
    "CredentialsRejected",
    "DeadlineExceeded",
    "DiscoveryOptions",
    "DownloadUrl",
    "EvidenceLost",
    "ExchangeTimeout",
    "GenesysMediaError",
    "Interval",
    "InvalidReply",
    "InvalidRequest",
    "JsonLinesSink",
    "LoggingSink",
    "MediaRequest",
    "MediaResult",
    "MediaRetriever",
    "MemorySink",
    "MetricsSink",
    "MetricsSnapshot",
    "NotFound",
    "PermissionDenied",
    "QuotaLimit",
    "QuotaState",
    "RateLimited",
    "Retrieval",
    "RetryPolicy",
    "RunOptions",
    "ServerError",
    "Settings",
    "SettingsError",
    "Sink",
    "Statistics",
    "SystemClock",
    "TokenUnavailable",
    "TransportError",
    "Unauthorized",
    "UrlRefused",
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
