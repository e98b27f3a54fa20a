"""Cycles: what each record of the topic `clearing` changes, applied in the order of the topic."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Ranges = Mapping[str, tuple[int, int]]
"""Instrument -> its previous cutoff and its cutoff; empty ranges are left out."""
Decision = Literal["settled", "failed"]


class Opened(NamedTuple):
    """A `settle` that counts: this cycle is asked for."""

    cycle: int


class Closed(NamedTuple):
    """A `cycle_closed` that counts: the cycle owns these ranges."""

    cycle: int
    ranges: dict[str, tuple[int, int]]


class Decided(NamedTuple):
    """An `outcome` of a closed cycle: of one instruction, or of all that are pending."""

    cycle: int
    instruction: int | None
    decision: Decision


class Cycles:
    """The cycles so far: the keys that asked for them in the order of their numbers, and how many are closed."""

    def __init__(self, keys: Iterable[str] = (), closed: int = 0, cutoffs: Mapping[str, int] | None = None) -> None:
        self.numbers = {key: number for number, key in enumerate(keys, 1)}
        self.closed = closed
        self.cutoffs = dict(cutoffs or {})

    @property
    def open(self) -> int | None:
        """The lowest cycle that is asked for and not closed."""
        return self.closed + 1 if self.closed < len(self.numbers) else None

    def settle(self, key: str) -> Opened | None:
        """A `settle`; None for a key that has its cycle."""
        if key in self.numbers:
            return None
        self.numbers[key] = len(self.numbers) + 1
        return Opened(self.numbers[key])

    def close(self, cycle: int, cutoffs: Mapping[str, int]) -> Closed | None:
        """A `cycle_closed`; None unless the cycle is the lowest open one."""
        if cycle != self.open:
            return None
        self.closed = cycle
        before = {instrument: self.cutoffs.get(instrument, 0) for instrument in sorted(cutoffs)}
        ranges = {name: (after, cutoffs[name]) for name, after in before.items() if cutoffs[name] > after}
        self.cutoffs |= {instrument: to for instrument, (_, to) in ranges.items()}
        return Closed(cycle, ranges)

    def decide(self, cycle: int, instruction: int | None, decision: Decision) -> Decided | None:
        """An `outcome`; None for a cycle that is not closed. The ledger and Postgres look whether it is pending."""
        return Decided(cycle, instruction, decision) if 1 <= cycle <= self.closed else None
