"""How far a reader of reports has come, per instrument: each report is applied once (docs/EXACTNESS.md, I10). Pure."""

from enum import Enum


class Step(Enum):
    """What a report is to this reader: the next one, one that it has applied, or one whose predecessor is missing."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"


class Sequencer:
    """The seq of the last report applied, for each instrument."""

    def __init__(self, last_seqs: dict[str, int] | None = None) -> None:
        self.last_seqs = dict(last_seqs or {})
        self.missing: dict[str, int] = {}
        """Instruments with an open gap, and the first seq that is missing there."""

    def accept(self, instrument: str, seq: int) -> Step:
        """Whether to apply this report; NEXT moves on. What lies beyond a gap will be sent again after its cure."""
        last = self.last_seqs.get(instrument, 0)
        if seq == last + 1:
            self.last_seqs[instrument] = seq
            if self.missing and self.missing.get(instrument) == seq:
                del self.missing[instrument]
            return Step.NEXT
        if seq <= last:
            return Step.DUPLICATE
        self.missing.setdefault(instrument, last + 1)
        return Step.GAP
