"""Records of a topic that a reader cannot use and passes over: each is counted, and named in one log sentence."""

import logging

from app import metrics

_log = logging.getLogger(__name__)


def pass_over(topic: str, partition: int, offset: int, why: str) -> None:
    """Count and name a record."""
    metrics.unusable_records.labels(topic).inc()
    _log.warning("%s[%d] has a record at offset %d that cannot be used: %s", topic, partition, offset, why)
