"""Refuse to start with a market whose matching rules this release does not have."""

from collections.abc import Iterable

from app.engine import UnknownEngine
from app.matching.rejections import RejectionsState
from app.matching.versions import VERSIONS
from app.models.snapshots import State


def require_engine(states: Iterable[State]) -> None:
    """Require that this release has the engine version of every market; raises UnknownEngine."""
    for state in states:
        if not isinstance(state, RejectionsState) and state.engine_version not in VERSIONS:
            ours = ", ".join(map(str, VERSIONS))
            raise UnknownEngine(
                f"{state.instrument} has engine version {state.engine_version} in force, this program has {ours}: "
                "start a release that has it"
            )
