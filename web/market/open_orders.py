"""Every open order of an instrument by client, exactly: what a private stream begins with."""

from collections.abc import Iterator
from typing import NamedTuple

from app.matching.states import BookState
from app.models.decimals import Scale
from app.models.reports import ExecutionReport, OrderChange, OrderTerms
from web.market.recent_orders import FINISHED, OrderOfSnapshot


class KnownOrder(NamedTuple):
    """An open order after its latest report; a snapshot does not tell that report's seq."""

    terms: OrderTerms | None
    change: OrderChange
    seq: int | None


class OpenOrders:
    """By client and order id; no more than the book holds."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, KnownOrder | OrderOfSnapshot]] = {}

    def begin(self, state: BookState, scale: Scale) -> None:
        """Take in the open orders of a snapshot."""
        for orders in (state.bids, state.asks, state.stops):
            for order in orders:
                known = OrderOfSnapshot(state.instrument, scale, order, state.seq)
                self._of.setdefault(order.client_id, {})[known.order_id] = known

    def apply(self, report: ExecutionReport) -> None:
        """Take in the next report."""
        for change in report.orders:
            orders = self._of.get(change.client_id)
            if change.status in FINISHED:
                if orders is not None and orders.pop(change.order_id, None) is not None and not orders:
                    del self._of[change.client_id]
                continue
            if orders is None:
                orders = self._of[change.client_id] = {}
            known = orders.get(change.order_id)
            terms = change.terms or (None if known is None else known.terms)
            orders[change.order_id] = KnownOrder(terms, change, report.seq)

    def of(self, client_id: str) -> Iterator[KnownOrder]:
        """A client's open orders, those that were placed first before others."""
        for order in self._of.get(client_id, {}).values():
            yield order if isinstance(order, KnownOrder) else KnownOrder(order.terms, order.change, None)
