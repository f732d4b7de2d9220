"""Where events go. A sink of your own is a subclass of `Sink` with a `write`."""

from .base import Sink, SinkLike
from .jsonl import JsonLinesSink
from .log import LoggingSink
from .memory import MemorySink
from .metrics import MetricsSink, MetricsSnapshot

__all__ = ["JsonLinesSink", "LoggingSink", "MemorySink", "MetricsSink", "MetricsSnapshot", "Sink", "SinkLike"]
