"""Keeps the most recently changed orders in memory; Postgres may know more about them.

A snapshot has an open order's state and most of its terms, but not its key, its times or the seq of its last change.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from app.matching.fees import fees_of
from app.matching.states import BookState, OpenOrder
from app.matching.words import Status
from app.models.decimals import Scale
from app.models.http import order_answer, rfc3339
from app.models.identity import id_text
from app.models.reports import ExecutionReport, OrderChange, OrderTerms
from app.postgres import RowKey
from web.market.newest import Recent

MAX_ORDERS = 200_000  # of all instruments together; Postgres answers for older ones
FORGOTTEN_AT_ONCE = 2_000
FINISHED = frozenset((Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED))
MOVING = ("price", "quantity", "filled_quantity", "fees")  # the fields that may change while an order is open

_new = tuple.__new__  # takes half as long as a NamedTuple's own constructor


class SeenOrder(NamedTuple):
    """An order after its latest report. If it is older than the gateway, the facts of its first report are missing."""

    instrument: str
    terms: OrderTerms | None
    change: OrderChange
    seq: int
    created_ms: int | None
    updated_ms: int
    fingerprint: int | None = None
    """The fingerprint of the command that placed the order, if it came with a snapshot."""
    first: tuple[OrderChange, int] | None = None
    """The change and the seq of its first report, if the order has changed since."""

    @property
    def as_of(self) -> int:
        """The seq of the report that this state includes."""
        return self.seq

    def answer(self) -> dict[str, Any]:
        """The order as the API shows it; unknown fields are null."""
        return order_answer(self.instrument, self.terms, self.change, self.seq, self.created_ms, self.updated_ms)

    def answer_at_first(self) -> dict[str, Any] | None:
        """The order as its first report left it; None if the gateway has not seen that report."""
        change, seq = self.first or (self.change, self.seq)
        if change.terms is None:
            return None
        return order_answer(self.instrument, change.terms, change, seq, self.created_ms, self.created_ms)


class OrderOfSnapshot(NamedTuple):
    """An open order that no report has touched since the snapshot."""

    instrument: str
    scale: Scale
    order: OpenOrder
    as_of: int
    created_ms: None = None
    first: None = None

    @property
    def fingerprint(self) -> int:
        """The fingerprint of the command that placed the order."""
        return self.order.fingerprint

    @property
    def terms(self) -> OrderTerms:
        """All terms except the key and the order's own `self_trade_prevention`, which a snapshot lacks."""
        order, scale = self.order, self.scale
        return OrderTerms(
            "",
            order.side,
            order.type,
            order.time_in_force,
            None if order.stop_price is None else scale.price(order.stop_price),
            None if order.display_quantity is None else scale.quantity(order.display_quantity),
            order.expire_time_ms,
            order.post_only,
        )

    @property
    def order_id(self) -> str:
        return id_text(self.order.order_id)

    @property
    def change(self) -> OrderChange:
        """What is known of it, as a report would say it; its last fill is not."""
        order, scale = self.order, self.scale
        return OrderChange(
            self.order_id,
            order.client_id,
            Status.PARTIALLY_FILLED if order.filled else Status.NEW,
            scale.quantity(order.filled + order.remaining),
            scale.quantity(order.filled),
            scale.quantity(order.remaining),
            price=None if order.price is None else scale.price(order.price),
            avg_price=scale.average_price(order.notional, order.filled) if order.filled else None,
            fees=scale.fee(fees_of(order.fee_sum, scale)),
            triggered=order.triggered,
        )

    def answer(self) -> dict[str, Any]:
        """The order as the API shows it; unknown fields are null."""
        return order_answer(self.instrument, self.terms, self.change, None, None, None)


class ListedOrder(NamedTuple):
    """An order in a list, sorted by the time and seq of the report that accepted it."""

    row_key: RowKey
    order: SeenOrder

    @property
    def report_seq(self) -> int:
        return self.row_key.seq

    def answer(self) -> dict[str, Any]:
        return self.order.answer()


class RecentOrders:
    """The orders by id.

    `_accepted` also has the orders whose first report the gateway saw: instrument -> client (None: all clients) ->
    order id -> the seq of that report.
    """

    def __init__(self) -> None:
        self._orders: dict[str, SeenOrder | OrderOfSnapshot] = {}
        self._accepted: dict[str, dict[str | None, dict[str, int]]] = {}
        self._since: dict[str, RowKey] = {}
        self.known_after: dict[str, int] = {}
        """Instrument -> seq: every order that a later report changed is here; others may be in Postgres only."""

    def begin(self, state: BookState, scale: Scale, after: int | None = None) -> None:
        """Add the open orders of a snapshot, up to MAX_ORDERS.

        If `after` is given, reports from seq after + 1 follow, which the snapshot may already include.
        """
        instrument, seq = state.instrument, state.seq
        self.known_after[instrument] = seq if after is None else after
        if after is None:
            self._since[instrument] = RowKey(state.time_ms, instrument, seq + 1)
        every = (order for orders in (state.bids, state.asks, state.stops) for order in orders)
        for order in islice(every, MAX_ORDERS - len(self._orders)):
            self._orders[id_text(order.order_id)] = OrderOfSnapshot(instrument, scale, order, seq)

    def apply(self, report: ExecutionReport) -> None:
        """Apply the next report."""
        orders, instrument, seq, time = self._orders, report.instrument, report.seq, report.time
        clients = self._accepted.get(instrument)
        if clients is None:
            clients = self._accepted[instrument] = {None: {}}
            if seq > 1:
                self._since.setdefault(instrument, RowKey(time, instrument, seq))
        for change in report.orders:
            order_id = change.order_id
            if change.terms is not None:
                if order_id in orders:
                    if isinstance(orders[order_id], OrderOfSnapshot):
                        del orders[order_id]  # its first report replaces it
                    else:
                        self._forget(order_id)  # a new order has the same key
                orders[order_id] = _new(SeenOrder, (instrument, change.terms, change, seq, time, time, None, None))
                clients[None][order_id] = seq
                accepted = clients.get(change.client_id)
                if accepted is None:
                    clients[change.client_id] = {order_id: seq}
                else:
                    accepted[order_id] = seq
                continue
            known = orders.get(order_id)
            if known is None:
                orders[order_id] = _new(SeenOrder, (instrument, None, change, seq, None, time, None, None))
                continue
            first = known.first or ((known.change, known.seq) if known.created_ms is not None else None)
            terms, created_ms, fingerprint = known.terms, known.created_ms, known.fingerprint
            orders[order_id] = _new(SeenOrder, (instrument, terms, change, seq, created_ms, time, fingerprint, first))
        if len(orders) > MAX_ORDERS + FORGOTTEN_AT_ONCE:
            for order_id in list(islice(orders, FORGOTTEN_AT_ONCE)):
                self._forget(order_id)

    def get(self, order_id: str) -> SeenOrder | OrderOfSnapshot | None:
        return self._orders.get(order_id)

    def all_since(self, instrument: str) -> int:
        """The seq from which memory has every order that the instrument has accepted."""
        since = self._since.get(instrument)
        return 0 if since is None else since.seq

    def begin_again(self, state: BookState, scale: Scale) -> None:
        """Forget all orders of this instrument, and reload them from its snapshot."""
        for order_id in [order_id for order_id, order in self._orders.items() if order.instrument == state.instrument]:
            del self._orders[order_id]
        self._accepted.pop(state.instrument, None)
        self.begin(state, scale)

    def latest(self, row: dict[str, Any]) -> dict[str, Any]:
        """A recorded order in its current state, because recording may be behind."""
        known = self._orders.get(row["order_id"])
        if known is None or row["status"] in FINISHED:
            return row
        if known.created_ms is not None and rfc3339(known.created_ms) != row["created_at"]:
            return row  # memory has another order with the same key
        return completed(known, row)

    def of_client(self, client_id: str | None, instruments: Iterable[str], status: str | None) -> Recent:
        """A client's orders (None: all clients'), newest first, and the row key from which they are complete."""
        rows = {name: partial(self._newest_first, name, client_id) for name in instruments}
        since = max((self._since[name] for name in rows if name in self._since), default=None)
        return Recent(rows, since, self.known_after, lambda row: status is None or row.order.change.status == status)

    def _newest_first(self, instrument: str, client_id: str | None) -> Iterator[ListedOrder]:
        accepted = self._accepted.get(instrument, {}).get(client_id, {})
        for order_id, seq in reversed(accepted.items()):
            order = self._orders[order_id]
            assert isinstance(order, SeenOrder) and order.created_ms is not None, "its beginning was seen"
            yield ListedOrder(RowKey(order.created_ms, instrument, seq), order)

    def _forget(self, order_id: str) -> None:
        order = self._orders.pop(order_id)
        self.known_after[order.instrument] = max(self.known_after.get(order.instrument, 0), order.as_of)
        if order.created_ms is None:
            return
        clients = self._accepted[order.instrument]
        accepted = clients[order.change.client_id]
        del clients[None][order_id]
        seq = accepted.pop(order_id)
        if not accepted:
            del clients[order.change.client_id]
        # Orders are forgotten in the order of acceptance, except those whose key a new order uses.
        since = RowKey(order.created_ms, order.instrument, seq + 1)
        self._since[order.instrument] = max(self._since.get(order.instrument, since), since)


def completed(order: SeenOrder | OrderOfSnapshot, recorded: dict[str, Any] | None) -> dict[str, Any]:
    """The order with its unknown fields filled in from Postgres, or Postgres' row if that is newer."""
    known = order.answer()
    if recorded is None:
        return known
    if recorded["seq"] > order.as_of:
        return recorded
    merged = {name: recorded[name] if value is None else value for name, value in known.items()}
    if isinstance(order, OrderOfSnapshot) and any(merged[name] != recorded[name] for name in MOVING):
        return merged | {"seq": None, "updated_at": None}  # unknown until Postgres has recorded the latest change
    return merged
