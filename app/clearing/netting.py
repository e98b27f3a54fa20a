"""Netting: sum the entries of one cycle to an obligation for each client and asset, and to a change of positions."""

from collections.abc import Mapping
from typing import NamedTuple

from app.clearing.amounts import of_units
from app.clearing.cycles import Ranges
from app.clearing.entries import CCP, FEES, Bust, Entry, Trade, legs
from app.clearing.positions import Position

Holding = tuple[str, str]
"""A client and an asset; sorting these gives the order of obligations."""


class Obligation(NamedTuple):
    """What one client owes (negative) or is owed in one asset, with what it is made of."""

    gross_in: int
    gross_out: int
    fees: int
    carried: int
    opening: int

    @property
    def net(self) -> int:
        """What the cycle's instruction moves."""
        return self.gross_in - self.gross_out - self.fees + self.carried

    @property
    def closing(self) -> int:
        """The sum of all legs of the client in the asset up to the end of the cycle."""
        return self.opening + self.gross_in - self.gross_out - self.fees


class Instruction(NamedTuple):
    """A payment or delivery that a cycle asks for; positive: the client receives it."""

    client: str
    asset: str
    amount: int


class Netting:
    """The sums of one cycle while its entries come, in any order.

    A trade may come before anybody knows of its bust; `cancel` takes it out again.
    """

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._sums: dict[Holding, list[int]] = {}
        """Gross in, gross out, fees, and the number of legs: without legs there is no obligation."""
        self._positions: dict[tuple[str, str], list[int]] = {}
        """Client and instrument -> the five sums of a position, and the number of entries they are made of."""

    def add(self, entry: Entry, counter_seq: int | None = None) -> None:
        """Take in an entry of this cycle. `counter_seq`: of a trade the seq of its bust, of a bust that of its trade.

        Raises ValueError for an entry of another cycle.
        """
        after, to = self._ranges.get(entry.instrument, (0, 0))
        if not after < entry.seq <= to:
            raise ValueError(f"{entry.instrument} {entry.seq} is not in the range ({after}, {to}]")
        if isinstance(entry, Bust):
            counter_seq = entry.trade.seq
        if counter_seq is not None and after < counter_seq <= to:
            return  # trade and bust cancel
        self._count(entry, 1)

    def cancel(self, trade: Trade) -> None:
        """Take a trade out that was added: its bust is in this cycle too."""
        self._count(trade, -1)

    def obligations(self, carried: Mapping[Holding, int], openings: Mapping[Holding, int]) -> dict[Holding, Obligation]:
        """All obligations, by client and asset."""
        found: dict[Holding, Obligation] = {}
        for holding in sorted({*self._sums, *carried}):
            gross_in, gross_out, fees, _ = self._sums.get(holding, (0, 0, 0, 0))
            opening = openings.get(holding, 0)
            found[holding] = Obligation(gross_in, gross_out, fees, carried.get(holding, 0), opening)
        return found

    def positions(self) -> dict[tuple[str, str], Position]:
        """Client and instrument -> what the cycle adds to the position; a reversal takes its trade out again."""
        return {key: Position(*sums) for key, (*sums, _) in self._positions.items()}

    def _count(self, entry: Entry, times: int) -> None:
        for account, asset, amount, is_fee in legs(entry):
            if account in (CCP, FEES):
                continue
            sums = self._sums.setdefault((account, asset), [0, 0, 0, 0])
            if is_fee:
                sums[2] -= times * amount
            else:
                sums[0 if amount > 0 else 1] += times * abs(amount)
            sums[3] += times
            if not sums[3]:
                del self._sums[account, asset]
        trade, sign = (entry.trade, -times) if isinstance(entry, Bust) else (entry, times)
        for side, client, fee in ((0, trade.buyer, trade.buyer_fee), (1, trade.seller, trade.seller_fee)):
            position = self._positions.setdefault((client, trade.instrument), [0, 0, 0, 0, 0, 0])
            position[side] += sign * of_units(trade.quantity)
            position[2 + side] += sign * trade.notional
            position[4] += sign * fee
            position[5] += times
            if not position[5]:
                del self._positions[client, trade.instrument]


def instructions(obligations: Mapping[Holding, Obligation]) -> dict[int, Instruction]:
    """The instructions of a cycle by their numbers."""
    due = [(holding, found.net) for holding, found in sorted(obligations.items()) if found.net]
    return {number: Instruction(*holding, net) for number, (holding, net) in enumerate(due, 1)}
