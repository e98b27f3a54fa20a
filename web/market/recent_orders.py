"""The orders touched last, as far as this gateway knows them; what it does not know of them Postgres may.

A snapshot tells an open order's state and most terms, but not its key, its times or the seq of its last change.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from app.matching.states import BookState, OpenOrder
from app.matching.words import Status
from app.models.decimals import Scale
from app.models.http import order_answer, rfc3339
from app.models.identity import id_text
from app.models.reports import ExecutionReport, OrderChange, OrderTerms
from app.postgres import RowKey
from web.market.newest import Recent

MAX_ORDERS = 200_000  # of all instruments together; older ones are asked of Postgres
FORGOTTEN_AT_ONCE = 2_000
FINISHED = frozenset((Status.FILLED, Status.CANCELED, Status.EXPIRED, Status.REJECTED))
MOVING = ("price", "quantity", "filled_quantity")  # what a change of an open order changes

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long


class SeenOrder(NamedTuple):
    """An order after its latest report. One that was there before the gateway lacks what its first report said."""

    instrument: str
    terms: OrderTerms | None
    change: OrderChange
    seq: int
    created_ms: int | None
    updated_ms: int
    fingerprint: int | None = None
    """Of the command that placed it, if a snapshot told it."""
    first: tuple[OrderChange, int] | None = None
    """What its first report said and that report's seq, if it has changed since."""

    @property
    def as_of(self) -> int:
        """The seq up to which this is the order's state."""
        return self.seq

    def answer(self) -> dict[str, Any]:
        """As the API has it; unknown fields are null."""
        return order_answer(self.instrument, self.terms, self.change, self.seq, self.created_ms, self.updated_ms)

    def answer_at_first(self) -> dict[str, Any] | None:
        """As its first report left it; None if that was before this gateway."""
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
        """Of the command that placed it."""
        return self.order.fingerprint

    @property
    def terms(self) -> OrderTerms:
        """All but the key, and how self-trades are prevented (the order's own words, if it had any)."""
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

    def answer(self) -> dict[str, Any]:
        """As the API has it; unknown fields are null."""
        order, scale = self.order, self.scale
        change = OrderChange(
            id_text(order.order_id),
            order.client_id,
            Status.PARTIALLY_FILLED if order.filled else Status.NEW,
            scale.quantity(order.filled + order.remaining),
            scale.quantity(order.filled),
            scale.quantity(order.remaining),
            price=None if order.price is None else scale.price(order.price),
            avg_price=scale.average_price(order.notional, order.filled) if order.filled else None,
        )
        return order_answer(self.instrument, self.terms, change, None, None, None)


class ListedOrder(NamedTuple):
    """An order in a list: by the time and seq of its acceptance."""

    row_key: RowKey
    order: SeenOrder

    @property
    def report_seq(self) -> int:
        return self.row_key.seq

    def answer(self) -> dict[str, Any]:
        return self.order.answer()


class RecentOrders:
    """By id. Those whose beginning was seen also by instrument and client (None: all), with their accepting seqs."""

    def __init__(self) -> None:
        self._orders: dict[str, SeenOrder | OrderOfSnapshot] = {}
        self._accepted: dict[str, dict[str | None, dict[str, int]]] = {}
        self._since: dict[str, RowKey] = {}
        self.known_after: dict[str, int] = {}
        """Instrument -> the seq after which every change is of an order that is here; earlier ones may be recorded."""

    def begin(self, state: BookState, scale: Scale, after: int | None = None) -> None:
        """Take in the open orders of a snapshot, as many as there is room for.

        Reports follow from the one after `after` on, earlier than the snapshot's perhaps.
        """
        instrument, seq = state.instrument, state.seq
        self.known_after[instrument] = seq if after is None else after
        if after is None:
            self._since[instrument] = RowKey(state.time_ms, instrument, seq + 1)
        every = (order for orders in (state.bids, state.asks, state.stops) for order in orders)
        for order in islice(every, MAX_ORDERS - len(self._orders)):
            self._orders[id_text(order.order_id)] = OrderOfSnapshot(instrument, scale, order, seq)

    def apply(self, report: ExecutionReport) -> None:
        """Take in the next report."""
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
                        del orders[order_id]  # this is how it began
                    else:
                        self._forget(order_id)  # its key has been used again
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
        """The seq from which on every order accepted by the instrument is remembered."""
        since = self._since.get(instrument)
        return 0 if since is None else since.seq

    def begin_again(self, state: BookState, scale: Scale) -> None:
        """Forget what was read of this instrument, and know what its snapshot says."""
        for order_id in [order_id for order_id, order in self._orders.items() if order.instrument == state.instrument]:
            del self._orders[order_id]
        self._accepted.pop(state.instrument, None)
        self.begin(state, scale)

    def latest(self, row: dict[str, Any]) -> dict[str, Any]:
        """A recorded order as it is now: recording may be behind."""
        known = self._orders.get(row["order_id"])
        if known is None or row["status"] in FINISHED:
            return row
        if known.created_ms is not None and rfc3339(known.created_ms) != row["created_at"]:
            return row  # its key has been used again
        return completed(known, row)

    def of_client(self, client_id: str | None, instruments: Iterable[str], status: str | None) -> Recent:
        """A client's orders or everybody's, newest first, and from where on these are all."""
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
        # Orders are forgotten in the order of their acceptance, but for those whose key is used again.
        since = RowKey(order.created_ms, order.instrument, seq + 1)
        self._since[order.instrument] = max(self._since.get(order.instrument, since), since)


def completed(order: SeenOrder | OrderOfSnapshot, recorded: dict[str, Any] | None) -> dict[str, Any]:
    """The order with what Postgres knows of it besides."""
    known = order.answer()
    if recorded is None:
        return known
    if recorded["seq"] > order.as_of:
        return recorded
    merged = {name: recorded[name] if value is None else value for name, value in known.items()}
    if isinstance(order, OrderOfSnapshot) and any(merged[name] != recorded[name] for name in MOVING):
        return merged | {"seq": None, "updated_at": None}  # those of a change that is not recorded yet
    return merged
