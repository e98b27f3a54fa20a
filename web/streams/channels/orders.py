"""`orders`: one client's orders and fills."""

from itertools import islice

from app.models.reports import ExecutionReport
from app.models.streams import OrdersMessage, busts_of, fills_of, order_of
from web.market.books import Market
from web.streams.channels.channel import Levels, Variant, snapshot_of, update_of
from web.streams.messages import Message

LATEST_FILLS = 50
TRADES_LOOKED_AT = 2_000  # for a client's latest fills


class OrdersChannel:
    """The orders of a client."""

    def __init__(self, variant: Variant) -> None:
        assert variant.client_id is not None, "orders are those of a client"
        self._variant, self._client_id = variant, variant.client_id

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        orders = [
            order_of(change.terms, change, report.seq)
            for change in report.orders
            if change.client_id == self._client_id
        ]
        fills = [fill for trade in report.trades for fill in fills_of(self._client_id, trade, report.time)]
        if not orders and not fills and report.bust is None:
            return None
        head = update_of(self._variant, report)
        busts = busts_of(report)  # which name a trade and nobody: every client of the market compares it with its fills
        return Message(OrdersMessage(**head, client_id=self._client_id, data=orders, fills=fills, busts=busts))

    def snapshot(self, market: Market) -> Message:
        known = market.open_orders.of(self._client_id)
        orders = [order_of(order.terms, order.change, order.seq) for order in known]
        fills = islice(
            (
                fill
                for recent in islice(reversed(market.trades), TRADES_LOOKED_AT)
                for fill in fills_of(self._client_id, recent.trade, recent.time_ms, recent.busted_ms)
            ),
            LATEST_FILLS,
        )
        head = snapshot_of(self._variant, market)
        return Message(OrdersMessage(**head, client_id=self._client_id, data=orders, fills=list(fills)[::-1]))
