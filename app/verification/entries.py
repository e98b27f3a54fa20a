"""The entries that the log gives to each cycle, summed while the log is replayed.

We keep no trades. A bust's report only names its trade, so we remember the busts, at most MAX_BUSTS of a market, and
take the trade of each from Postgres, whose rows O4 has compared with the log by then.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from app.clearing.amounts import amount_of
from app.clearing.cycles import Closed, Ranges
from app.clearing.entries import Bust, Trade
from app.clearing.netting import Netting
from app.models.decimals import units
from app.models.reports import ExecutionReport, TradeReport
from app.verification.findings import Finding

TRADES_AT_ONCE = 5_000
TRADE_KEY = ("instrument", "seq")


class Trades(Protocol):
    """The recorded trades."""

    async def rows(
        self, table: str, key_columns: Sequence[str], keys: Sequence[tuple[Any, ...]]
    ) -> list[dict[str, Any]]:
        """The rows with these keys."""


class _Named(NamedTuple):
    """A bust as its report has it."""

    instrument: str
    trade: int
    seq: int


class CycleEntries:
    """Feed it every report of the log with `give`, those of an instrument in order; then ask for each `netting`."""

    def __init__(self, closed: Iterable[Closed]) -> None:
        self._assets: dict[str, tuple[str, str]] = {}
        self._ranges: dict[int, Ranges] = {}
        self._nettings: dict[int, Netting] = {}
        self._busts: dict[int, list[_Named]] = {}
        self._cutoffs: dict[str, list[tuple[int, int]]] = {}
        for cycle, ranges in closed:
            self._ranges[cycle], self._nettings[cycle], self._busts[cycle] = ranges, Netting(ranges), []
            for instrument, (_, to) in ranges.items():
                self._cutoffs.setdefault(instrument, []).append((to, cycle))

    def give(self, report: ExecutionReport) -> None:
        """The next report that the log gives."""
        name = report.instrument
        if report.listing is not None:
            self._assets[name] = report.listing.base_asset, report.listing.quote_asset
        if not report.trades and report.bust is None:
            return
        cutoffs = self._cutoffs.get(name, [])
        place = bisect_left(cutoffs, report.seq, key=lambda cutoff: cutoff[0])
        if place == len(cutoffs):
            return  # of no cycle yet
        cycle = cutoffs[place][1]
        for trade in report.trades:
            self._nettings[cycle].add(self._trade(name, report.seq, trade))
        if report.bust is not None:
            self._busts[cycle].append(_Named(name, report.bust.trade_seq, report.seq))

    async def netting(self, cycle: int, tables: Trades, finding: Finding) -> Netting:
        """The sums of a cycle, its busts included; call it once for each cycle."""
        netting, busts = self._nettings.pop(cycle), self._busts.pop(cycle)
        for start in range(0, len(busts), TRADES_AT_ONCE):
            some = busts[start : start + TRADES_AT_ONCE]
            rows = await tables.rows("trades", TRADE_KEY, [(bust.instrument, bust.trade) for bust in some])
            found = {(row["instrument"], row["seq"]): row for row in rows}
            for bust in some:
                where = f"Postgres trades {bust.instrument} {bust.trade}, which cycle {cycle} busts"
                if (row := found.get((bust.instrument, bust.trade))) is None:
                    finding.complain(f"{where}: no such row")
                    continue
                try:
                    trade = self._trade(bust.instrument, row["report_seq"], _report(row))
                except ValueError as error:
                    finding.complain(f"{where}: {error}")
                    continue
                after, to = self._ranges[cycle][bust.instrument]
                if after < trade.seq <= to:
                    netting.cancel(trade)
                else:
                    netting.add(Bust(bust.seq, trade))
        return netting

    def _trade(self, instrument: str, seq: int, trade: TradeReport) -> Trade:
        return Trade(
            instrument,
            seq,
            trade.seq,
            *self._assets[instrument],
            units(trade.price),
            units(trade.quantity),
            trade.buy_client_id,
            trade.sell_client_id,
            amount_of(trade.buyer_fee),
            amount_of(trade.seller_fee),
        )


def _report(row: dict[str, Any]) -> TradeReport:
    return TradeReport(**{name: row[name] for name in TradeReport.__struct_fields__})
