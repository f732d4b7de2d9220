"""Where events go; a sink of your own is one class with two methods, see `Sink`."""

from .base import Sink
from .dispatch import Dispatcher
from .jsonl import JsonLinesSink
from .log import LoggingSink
from .memory import MemorySink
from .metrics import MetricsSink, MetricsSnapshot

__all__ = ["Dispatcher", "JsonLinesSink", "LoggingSink", "MemorySink", "MetricsSink", "MetricsSnapshot", "Sink"]
