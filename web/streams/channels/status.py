"""`status`: halts, resumes and changes of the rules."""

from app.models.reports import ExecutionReport
from app.models.streams import MarketEvent, StatusMessage
from web.market.books import Market, rules_answer
from web.streams.channels.channel import Levels, Variant, snapshot_of, update_of
from web.streams.messages import Message


class StatusChannel:
    """What an operator did to a market."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        if report.market_status is None and report.listing is None:
            return None
        rules = None if report.listing is None else rules_answer(report.listing)
        event = MarketEvent(report.command, report.market_status, rules)
        return Message(StatusMessage(**update_of(self._variant, report), data=[event]))

    def snapshot(self, market: Market) -> Message:
        event = MarketEvent("snapshot", market.status, rules_answer(market.listing))
        return Message(StatusMessage(**snapshot_of(self._variant, market), data=[event]))
