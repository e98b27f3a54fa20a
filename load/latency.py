"""Latencies in an HDR histogram: microseconds since a request was due, three digits, up to two minutes."""

from typing import Any

from hdrh.histogram import HdrHistogram

LOWEST_US, HIGHEST_US, DIGITS = 1, 120_000_000, 3
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9}


class Latency:
    """Counts durations; those beyond the histogram's range count as its largest value."""

    def __init__(self) -> None:
        self._histogram: Any = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    def add_ns(self, duration_ns: int) -> None:
        self._histogram.record_value(min(max(duration_ns // 1_000, LOWEST_US), HIGHEST_US))

    def encoded(self) -> bytes:
        """The counts, for `add` in another process."""
        found: bytes = self._histogram.encode()
        return found

    def add(self, encoded: bytes) -> None:
        """Add the counts that another process has encoded."""
        self._histogram.decode_and_add(encoded)

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def percentile_ms(self, percentile: float) -> float:
        return float(self._histogram.get_value_at_percentile(percentile)) / 1_000

    def as_json(self) -> dict[str, float | int]:
        """Count, percentiles and maximum in ms."""
        if not self.count:
            return {"count": 0}
        found = {f"{name}_ms": self.percentile_ms(value) for name, value in PERCENTILES.items()}
        return {"count": self.count, **found, "max_ms": float(self._histogram.get_max_value()) / 1_000}
