"""All trades of a market, so that a bust of any age can restate the bars of its trade.

The newest trades are here; each 1,024 older ones form an immutable block, of which only the sum is here. The caller
keeps the blocks and reads one when a bust needs it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from app.analytics.bars import Bar, Trade, bar_of, joined

BLOCK = 1 << 10
EMPTY: Mapping[int, int] = MappingProxyType({})

Block: TypeAlias = tuple[Trade, ...]
ReadBlock: TypeAlias = Callable[[int], Block]


class Sum(NamedTuple):
    """The bar of all trades of a block, busted ones included, and the times of its first and last trade."""

    first_ms: int
    last_ms: int
    bar: Bar


def sum_of(block: Block) -> Sum:
    """The sum of a complete block."""
    bar = bar_of(block)
    assert bar is not None, "a block has trades"
    return Sum(block[0].time_ms, block[-1].time_ms, bar)


class History:
    """The trades in order; block k has those with the numbers 1024 k + 1 to 1024 (k + 1)."""

    __slots__ = ("_corrected", "_read", "_with_busts", "busted", "fresh", "sums", "tail")

    def __init__(
        self, read: ReadBlock, sums: Iterable[Sum] = (), tail: Iterable[Trade] = (), busted: Mapping[int, int] = EMPTY
    ) -> None:
        self._read = read
        self.sums: list[Sum] = list(sums)
        self.fresh: dict[int, Block] = {}
        """Complete blocks that the caller does not keep yet."""
        self.tail: list[Trade] = list(tail)
        self.busted: dict[int, int] = dict(busted)
        """The number of each busted trade -> its time. The engine allows 10,000 a market."""
        self._with_busts: set[int] = {(seq - 1) // BLOCK for seq in self.busted}
        self._corrected: dict[int, Bar | None] = {}
        """The bars of whole blocks without their busted trades, as far as they were asked for."""

    @property
    def total(self) -> int:
        """How many trades there have been."""
        return len(self.sums) * BLOCK + len(self.tail)

    def append(self, trade: Trade) -> None:
        """Add the next trade."""
        assert trade.seq == self.total + 1, f"trade {trade.seq} comes after {self.total}"
        self.tail.append(trade)
        if len(self.tail) == BLOCK:
            self.fresh[len(self.sums)] = tuple(self.tail)
            self.sums.append(sum_of(tuple(self.tail)))
            self.tail = []

    def bust(self, seq: int) -> Trade:
        """Take out the trade with this number, and return it."""
        assert 1 <= seq <= self.total and seq not in self.busted, f"trade {seq} cannot be busted"
        number, place = divmod(seq - 1, BLOCK)
        trade = self.block(number)[place]
        self.busted[seq] = trade.time_ms
        self._with_busts.add(number)
        self._corrected.pop(number, None)
        return trade

    def block(self, number: int) -> Block:
        """The trades of a block; of the last one those that there are."""
        if number == len(self.sums):
            return tuple(self.tail)
        return self.fresh[number] if number in self.fresh else self._read(number)

    def fold(self, start_ms: int, end_ms: int) -> Bar | None:
        """The bar of the trades that are not busted and have a time from `start_ms` to before `end_ms`."""
        bar = None
        first = bisect_left(self.sums, start_ms, key=lambda found: found.last_ms)
        for number in range(first, len(self.sums)):
            found = self.sums[number]
            if found.first_ms >= end_ms:
                return bar
            if start_ms <= found.first_ms and found.last_ms < end_ms:
                bar = joined(bar, self._whole(number))
            else:
                bar = joined(bar, self._part(number, start_ms, end_ms))
        return joined(bar, self._part(len(self.sums), start_ms, end_ms))

    def busts(self, start_ms: int, end_ms: int) -> int:
        """How many trades with a time from `start_ms` to before `end_ms` are busted."""
        return sum(start_ms <= time_ms < end_ms for time_ms in self.busted.values())

    def last(self) -> Trade | None:
        """The last trade that is not busted."""
        for number in range(len(self.sums), -1, -1):
            for trade in reversed(self.block(number)):
                if trade.seq not in self.busted:
                    return trade
        return None

    def _whole(self, number: int) -> Bar | None:
        if number not in self._with_busts:
            return self.sums[number].bar
        if number not in self._corrected:
            self._corrected[number] = bar_of(self._effective(number))
        return self._corrected[number]

    def _part(self, number: int, start_ms: int, end_ms: int) -> Bar | None:
        return bar_of(trade for trade in self._effective(number) if start_ms <= trade.time_ms < end_ms)

    def _effective(self, number: int) -> Iterator[Trade]:
        busted = self.busted
        return (trade for trade in self.block(number) if trade.seq not in busted)
