"""Checks that Kafka's logs have all that Postgres has recorded; raises one sentence for each way to disagree."""

from collections.abc import Mapping
from typing import NamedTuple

from app.postgres.errors import FROM_THE_LOG


class AnotherInstallation(RuntimeError):
    """The database has recorded another log; the message says what to do."""


class AnotherTime(RuntimeError):
    """Postgres has recorded reports that the log does not have; the message says what to do."""


class Recorded(NamedTuple):
    """How far a partition is recorded, the id of its log, and the last recorded seq of each of its instruments."""

    next_offset: int
    log_id: str
    last_seqs: dict[str, int] = {}


def require_log_ids(recorded: Mapping[int, Recorded], log_ids: Mapping[int, str]) -> None:
    """Raise AnotherInstallation unless each recorded partition belongs to this log."""
    for partition_id, partition in sorted(recorded.items()):
        if partition_id in log_ids and partition.log_id != log_ids[partition_id]:
            raise AnotherInstallation(
                f"the database has recorded another log than this one (partition {partition_id}): it belongs to "
                "another installation; use the database of this installation, or an empty one"
            )


def require_bounds(topic: str, recorded: Mapping[int, Recorded], bounds: Mapping[int, tuple[int, int]]) -> None:
    """Raise AnotherTime unless the topic has the recorded positions; read `bounds` after `recorded`."""
    for partition_id, partition in sorted(recorded.items()):
        if partition_id not in bounds:
            continue
        position, (first, end) = partition.next_offset, bounds[partition_id]
        sentence = f"Postgres has recorded {topic}[{partition_id}] up to {position}, but the topic"
        if position > end:
            raise AnotherTime(
                f"{sentence} ends at {end}: Kafka's data are older than Postgres', or have lost reports; restore newer "
                f"data of Kafka, or an equally old copy of Postgres, or {FROM_THE_LOG}"
            )
        if position < first:
            raise AnotherTime(
                f"{sentence} begins at {first}: reports were deleted before they were recorded; restore the topic, or "
                "a newer copy of Postgres"
            )
