"""Rejections: reports about records that are not a command of a listed instrument.

They use the reserved instrument name `_partition-<p>`, because such a record belongs to no real instrument.
"""

from typing import NamedTuple

from app.matching.commands import Moment
from app.matching.events import Report
from app.matching.words import Outcome, Reason

MAX_RAW_BYTES = 1024


class RejectionsState(NamedTuple):
    """The complete state of `Rejections`."""

    instrument: str
    offset: int
    time_ms: int
    seq: int

    @property
    def first_block(self) -> int:
        """Always 0, as rejections have no ids (compare BookState.first_block)."""
        return 0

    @property
    def end_block(self) -> int:
        return 0


class Rejections:
    """Reports rejected records, with their own dense seq."""

    def __init__(self, partition_id: int) -> None:
        self.instrument = f"_partition-{partition_id}"
        self.offset = -1
        self.time_ms = 0
        self.seq = 0

    def reject(self, reason: Reason, raw: bytes, at: Moment, engine_version: int) -> Report:
        """Report a record that this version rejects, with the beginning of `raw` as text (invalid UTF-8 replaced)."""
        self.offset = at.offset
        self.time_ms = max(self.time_ms, at.time_ms)
        self.seq += 1
        return Report(
            self.instrument,
            self.seq,
            at.offset,
            self.time_ms,
            engine_version,
            "unknown",
            None,
            Outcome.REJECTED,
            reason,
            raw=raw[:MAX_RAW_BYTES].decode("utf-8", "replace"),
        )

    def state(self) -> RejectionsState:
        return RejectionsState(self.instrument, self.offset, self.time_ms, self.seq)

    @classmethod
    def restore(cls, state: RejectionsState) -> "Rejections":
        rejections = cls(int(state.instrument.removeprefix("_partition-")))
        _, rejections.offset, rejections.time_ms, rejections.seq = state
        return rejections
