"""Skipping records that a reader cannot use: each is counted, and logged with topic, partition and offset or key."""

import logging

from app import metrics

MAX_SHOWN = 100  # bytes of a key
NO_REPORT = "it is not an execution report; only matching may write to this topic"
NO_UPDATE = "it is not an update of bars; only analytics may write to this topic"

_log = logging.getLogger(__name__)


def pass_over(topic: str, partition: int, which: int | bytes, why: str) -> None:
    """Count a skipped record and log it, identified by its offset, or by its key in a compacted topic."""
    metrics.unusable_records.labels(topic).inc()
    where = f"at offset {which}" if isinstance(which, int) else f"with the key {which[:MAX_SHOWN]!r}"
    _log.warning("skipped an unusable record of %s[%d] %s: %s", topic, partition, where, why)
