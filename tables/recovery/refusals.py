"""Refuse to start when the loaded state does not fit the log, the settings or this release: no rebuild helps then."""

from collections.abc import Iterable

from app.engine import UnknownEngine, partition_of
from tables.recovery.around import Around
from tables.recovery.changelog import OtherLog

LOST_EVENTS = (
    "acknowledged records are missing from the log; restore the topics, or give the missing records up: "
    "docs/OPERATING.md"
)


class LogIncomplete(RuntimeError):
    """The log that a table is made from has lost records; the message says which."""


class OtherPartitions(RuntimeError):
    """The setting topic_partitions differs from the number of partitions that the venue was created with."""


CannotGoOn = (OtherLog, LogIncomplete, OtherPartitions, UnknownEngine)


def require_log(around: Around, number: int, floor: int, covered: int, reported: int, first: int, end: int) -> None:
    """Require every event from the floor (where the table continues) to the last one that a worker has applied.

    `covered` is the last event that a snapshot covers, `reported` the last that has an output. Raises LogIncomplete.
    """
    last = max(floor - 1, covered, reported)
    if end <= last:
        where = f"{around.outputs}[{number}] has the output of" if last == reported else "the table includes"
        raise LogIncomplete(f"{around.source}[{number}] ends at {end}, {where} the record at {last}: {LOST_EVENTS}")
    if first > floor:
        raise LogIncomplete(
            f"{around.source}[{number}] begins at {first}, the table continues at {floor}: the records between were "
            "deleted before a snapshot covered them; restore the topic"
        )


def require_partition(number: int, partitions: int, instruments: Iterable[str]) -> None:
    """Require that the setting maps each of these instruments to this partition; raises OtherPartitions."""
    for instrument in instruments:
        if (by_setting := partition_of(instrument, partitions)) != number:
            raise OtherPartitions(
                f"{instrument} has its book in partition {number}, by the setting topic_partitions={partitions} it "
                f"would be in {by_setting}: set it to the number that the venue was made with"
            )
