"""The metric that says how far behind the end of its topic a worker is."""

from collections.abc import Callable
from typing import Any

from faust.types import TP

from app.metrics import lag


def show_lag(app: Any, role: str, topic: str, partition_id: int, reached: Callable[[], int]) -> None:
    """Register the metric of a partition; each scrape computes it. `reached` returns the offset to read next."""
    where = TP(topic, partition_id)
    lag.labels(role, partition_id).set_function(lambda: max(0, app.consumer.end(where) - reached()))
