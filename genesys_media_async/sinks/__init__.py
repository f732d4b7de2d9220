"""Where events go; a sink of your own is one class with two methods, see `Sink`."""

from .base import Sink
from .jsonl import JsonLinesSink
from .lanes import Lanes
from .log import LoggingSink
from .memory import MemorySink
from .metrics import MetricsSink, MetricsSnapshot

__all__ = ["JsonLinesSink", "Lanes", "LoggingSink", "MemorySink", "MetricsSink", "MetricsSnapshot", "Sink"]
