"""Records of a topic that a reader cannot use and passes over: each is counted, and named in one log sentence."""

import logging

from app import metrics

MAX_SHOWN = 100  # bytes of a key
NO_REPORT = "it is no report, and only matching writes here"

_log = logging.getLogger(__name__)


def pass_over(topic: str, partition: int, which: int | bytes, why: str) -> None:
    """Count and name a record by its offset, or by its key where the key is what counts."""
    metrics.unusable_records.labels(topic).inc()
    where = f"at offset {which}" if isinstance(which, int) else f"with the key {which[:MAX_SHOWN]!r}"
    _log.warning("%s[%d] has a record %s that cannot be used: %s", topic, partition, where, why)
