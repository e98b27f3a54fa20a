"""The bars of one partition: turns records of `executions` into updates for the topic `candles`; no I/O, no clock.

The analytics agent and `verify` run this. app/analytics folds the reports.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from app.analytics.history import Block, ReadBlock, Sum
from app.analytics.market import Market
from app.models.candle_snapshots import MarketSnapshot
from app.models.candles import CandlesUpdate, ReportLine, read_line, sizes_of, to_analytics, update_message
from app.models.decimals import Scale

_RESERVED = "_"  # the first character of names that are not markets


class Output(NamedTuple):
    """An effective report of this instrument was applied; `update` is what readers are told, if anything."""

    instrument: str
    update: CandlesUpdate | None


class Listed:
    """A market with its scale, and the offset of its last report."""

    __slots__ = ("instrument", "market", "offset", "scale")

    def __init__(self, instrument: str, market: Market, scale: Scale, offset: int = -1) -> None:
        self.instrument, self.market, self.scale, self.offset = instrument, market, scale, offset

    def freeze(self) -> MarketSnapshot:
        """The state now."""
        sizes = self.scale.tick_size, self.scale.lot_size
        return MarketSnapshot(self.instrument, self.offset, *sizes, self.market.freeze())


class Candles:
    """The markets of one partition. `read` returns a complete block of trades that `stored` was told of."""

    def __init__(self, read: Callable[[str, int], Block]) -> None:
        self._read = read
        self.markets: dict[str, Listed] = {}
        self.foreign = 0
        """Records that are no reports: another program wrote them."""

    def restore(self, snapshot: MarketSnapshot, sums: Iterable[Sum]) -> None:
        """Restore a market from its snapshot and the sums of its complete blocks."""
        name, offset, tick, lot, state = snapshot
        market = Market(self._reader(name), state, tuple(sums))
        self.markets[name] = Listed(name, market, Scale(tick, lot), offset)

    def apply(self, offset: int, value: bytes | None) -> Output | None:
        """Apply one record; None for repeats, for what comes after a gap, and for what is no market's report."""
        line = read_line(value)
        if line is None:
            self.foreign += 1
            return None
        if line.instrument.startswith(_RESERVED):
            return None
        return self.take(offset, line)

    def take(self, offset: int, line: ReportLine) -> Output | None:
        """Apply a report; None if it does not follow the last one (docs/EXACTNESS.md, I10)."""
        name = line.instrument
        listed = self.markets.get(name) or self._listed(line)
        if listed is None or line.seq != listed.market.seq + 1:
            return None
        update = listed.market.apply(to_analytics(line, listed.scale))
        listed.offset = offset
        return Output(name, None if update is None else update_message(name, update, listed.scale))

    def stored(self, instrument: str, number: int) -> None:
        """The caller keeps this complete block now."""
        if (listed := self.markets.get(instrument)) is not None:
            listed.market.history.fresh.pop(number, None)

    def _listed(self, line: ReportLine) -> Listed | None:
        """A new market, if this is its first report, which lists it."""
        if line.seq != 1 or line.listing is None:
            return None
        market = Market(self._reader(line.instrument))
        listed = self.markets[line.instrument] = Listed(line.instrument, market, Scale(*sizes_of(line.listing)))
        return listed

    def _reader(self, instrument: str) -> ReadBlock:
        return lambda number: self._read(instrument, number)
