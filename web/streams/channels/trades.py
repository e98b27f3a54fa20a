"""`trades`: every trade, and every bust of one."""

from itertools import islice

from app.models.reports import ExecutionReport
from app.models.streams import TradesMessage, busts_of, trade_of
from web.market.books import Market
from web.streams.channels.channel import Levels, Variant, snapshot_of, update_of
from web.streams.messages import Message

LATEST_TRADES = 50


class TradesChannel:
    """The trades of an instrument."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        if not report.trades and report.bust is None:
            return None
        trades = [trade_of(report.instrument, trade, report.time) for trade in report.trades]
        return Message(TradesMessage(**update_of(self._variant, report), data=trades, busts=busts_of(report)))

    def snapshot(self, market: Market) -> Message:
        latest = list(islice(reversed(market.trades), LATEST_TRADES))
        trades = [
            trade_of(recent.instrument, recent.trade, recent.time_ms, recent.busted_ms) for recent in reversed(latest)
        ]
        return Message(TradesMessage(**snapshot_of(self._variant, market), data=trades))
