"""A reader's position per instrument, so that it applies each report once (docs/EXACTNESS.md, I10). Pure."""

from enum import Enum


class Step(Enum):
    """How a report follows the last applied one: it is the next, was applied already, or comes after a missing one."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"


class Sequencer:
    """The seq of the last report applied, for each instrument."""

    def __init__(self, last_seqs: dict[str, int] | None = None) -> None:
        self.last_seqs = dict(last_seqs or {})
        self.missing: dict[str, int] = {}
        """Instrument with an open gap -> the first missing seq."""

    def accept(self, instrument: str, seq: int) -> Step:
        """Judge a report, which the reader must apply if this returns NEXT.

        Reports after a gap come again: the worker that fills the gap sends them once more.
        """
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
