"""Refuse to start when the loaded state does not fit the log, the settings or this release: no rebuild helps then."""

from collections.abc import Iterable

from app.engine import UnknownEngine, partition_of
from app.matching.rejections import RejectionsState
from app.matching.versions import VERSIONS
from app.models.snapshots import State
from tables.recovery.changelog import OtherLog

LOST_COMMANDS = (
    "accepted commands are missing from the log; restore the topics, or give the missing commands up: ARCHITECTURE.md, "
    "What an operator does"
)


class LogIncomplete(RuntimeError):
    """The `orders` log has lost accepted commands; the message says which."""


class OtherPartitions(RuntimeError):
    """The setting topic_partitions differs from the number of partitions that the venue was created with."""


CannotGoOn = (OtherLog, LogIncomplete, OtherPartitions, UnknownEngine)


def require_log(number: int, floor: int, covered: int, reported: int, first: int, end: int) -> None:
    """Require every command from the floor (where the books continue) to the last one that a worker has applied.

    `covered` is the last command that a snapshot covers, `reported` the last that has a report. Raises LogIncomplete.
    """
    last = max(floor - 1, covered, reported)
    if end <= last:
        where = f"executions[{number}] has the report of" if last == reported else "the books have carried out"
        raise LogIncomplete(f"orders[{number}] ends at {end}, {where} the command at {last}: {LOST_COMMANDS}")
    if first > floor:
        raise LogIncomplete(
            f"orders[{number}] begins at {first}, the books continue at {floor}: the commands between were deleted "
            "before a snapshot covered them; restore the topic"
        )


def require_partition(number: int, partitions: int, instruments: Iterable[str]) -> None:
    """Require that the setting maps each of these instruments to this partition; raises OtherPartitions."""
    for instrument in instruments:
        if (by_setting := partition_of(instrument, partitions)) != number:
            raise OtherPartitions(
                f"{instrument} has its book in partition {number}, by the setting topic_partitions={partitions} it "
                f"would be in {by_setting}: set it to the number that the venue was made with"
            )


def require_engine(states: Iterable[State]) -> None:
    """Require that this release has the engine version of every market; raises UnknownEngine."""
    for state in states:
        if not isinstance(state, RejectionsState) and state.engine_version not in VERSIONS:
            ours = ", ".join(map(str, VERSIONS))
            raise UnknownEngine(
                f"{state.instrument} has engine version {state.engine_version} in force, this program has {ours}: "
                "start a release that has it"
            )
