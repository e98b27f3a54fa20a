"""Why a worker does not go on from what it has loaded, in one sentence each; rebuilding would not help."""

from collections.abc import Iterable

from app.engine import UnknownEngine
from app.matching.rejections import RejectionsState
from app.matching.versions import VERSIONS
from app.models.snapshots import State
from tables.changelog import OtherLog


class LogIncomplete(RuntimeError):
    """The log of commands lacks some that were accepted; the message says which."""


CannotGoOn = (OtherLog, LogIncomplete, UnknownEngine)


def require_log(number: int, floor: int, first: int, end: int) -> None:
    """The log must reach from where the books end to its own end; raises LogIncomplete."""
    if end < floor:
        raise LogIncomplete(
            f"orders[{number}] ends at {end}, the books have carried out commands up to {floor}: accepted commands are "
            "missing from the log; restore the topic"
        )
    if first > floor:
        raise LogIncomplete(
            f"orders[{number}] begins at {first}, the books continue at {floor}: the commands between were deleted "
            "before a snapshot covered them; restore the topic"
        )


def require_engine(states: Iterable[State]) -> None:
    """Every market's engine version must be one of ours; raises UnknownEngine."""
    for state in states:
        if not isinstance(state, RejectionsState) and state.engine_version not in VERSIONS:
            ours = ", ".join(map(str, VERSIONS))
            raise UnknownEngine(
                f"{state.instrument} has engine version {state.engine_version} in force, this program has {ours}: "
                "start a release that has it"
            )
