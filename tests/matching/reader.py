"""What anyone can know from the reports alone: levels, orders and trades, rebuilt without an engine."""

from collections.abc import Collection
from fractions import Fraction
from math import ceil

from app.matching.commands import FeeSchedule, Listing, Place
from app.matching.events import Level, OrderState, Report, Trade
from app.matching.words import MarketStatus, Side, Status

OPEN = (Status.NEW, Status.PARTIALLY_FILLED)


def fees_by_role(trade: Trade) -> tuple[int, int]:
    """What the taker and the maker pay for a trade."""
    fees = trade.buyer_fee, trade.seller_fee
    return fees if trade.taker_side is Side.BUY else fees[::-1]


class Reader:
    """Follows the parts of the reports in order. AssertionError: they leave a gap or contradict each other."""

    def __init__(self) -> None:
        self.seq = 0
        self.trade_seq = 0
        self.listing: Listing | None = None
        self.market_status: MarketStatus | None = None
        self.levels: dict[tuple[Side, int], Level] = {}
        self.orders: dict[bytes, OrderState] = {}  # the latest state of every id
        self.terms: dict[bytes, Place] = {}
        self.trades: list[Trade] = []
        self.traded: dict[bytes, tuple[int, int]] = {}  # quantity and notional of an order's trades
        self.earlier: dict[bytes, int] = {}  # lots of trades to come that belong to the order which had the id before
        self.engine_version: int | None = None
        self.rates: FeeSchedule | None = None  # in force since the last command
        self.owed: dict[bytes, Fraction] = {}  # rate x notional over an order's trades, in units of the quote scale
        self.fees: dict[bytes, int] = {}  # of an order's trades
        self.balances: dict[str, int] = {}  # what each client has paid, without the busted trades
        self.busted: set[int] = set()
        self._rates_then: FeeSchedule | None = None  # those that the report at hand has set
        self._version_then = 0

    def follow(self, part: Report) -> None:
        """Take in one report, or one part of a large one."""
        assert part.seq == self.seq + 1, f"a gap: {part.seq} after {self.seq}"
        self.seq = part.seq
        if part.part == 1:
            # What happens in a command obeys the rates and the version from before it.
            self.rates, self.engine_version = self._rates_then, self._version_then or part.engine_version
            self._rates_then, self._version_then = part.fees or self.rates, part.engine_version
        self.listing = part.listing or self.listing
        self.market_status = part.market_status or self.market_status
        for state in part.orders:
            self._take_state(state)
        for trade in part.trades:
            self._take_trade(trade)
        if part.bust is not None:
            self._take_bust(part.bust.trade_seq)
        for level in part.levels:
            self._take_level(level, is_change=part.command != "snapshot")

    def depth(self) -> tuple[list[Level], list[Level]]:
        """All levels of bids and asks, best first."""
        bids = [level for (side, _), level in self.levels.items() if side == Side.BUY]
        asks = [level for (side, _), level in self.levels.items() if side == Side.SELL]
        return sorted(bids, key=lambda level: -level.price), sorted(asks, key=lambda level: level.price)

    def open_orders(self) -> dict[bytes, OrderState]:
        """Every order that rests or waits."""
        return {order_id: state for order_id, state in self.orders.items() if state.status in OPEN}

    def check(self, waiting_for_fills: Collection[bytes] = ()) -> None:
        """Orders, trades and levels tell the same story; a triggered stop rests unless it is one of these."""
        resting: dict[tuple[Side, int], list[OrderState]] = {}
        for order_id, state in self.orders.items():
            assert self.traded[order_id] == (state.filled, state.notional), f"{order_id!r} has other trades"
            assert state.fees == self.fees[order_id] == ceil(self.owed[order_id]), f"{order_id!r} pays {state.fees}"
            terms = self.terms[order_id]
            rests = (terms.stop_price is None or state.triggered) and order_id not in waiting_for_fills
            if state.status in OPEN and rests:
                assert state.price is not None, f"{order_id!r} rests without a price"
                resting.setdefault((terms.side, state.price), []).append(state)
        assert resting.keys() == self.levels.keys()
        for key, states in resting.items():
            hides = any(self.terms[state.order_id].display_quantity for state in states)
            total = sum(state.remaining for state in states)
            level = self.levels[key]
            assert level.orders == len(states), f"{level} has {len(states)} orders"
            assert level.quantity < total + 1 if hides else level.quantity == total, f"{level} has {total}"

    def _take_state(self, state: OrderState) -> None:
        if state.terms is not None:
            self.terms[state.order_id] = state.terms
            if (before := self.orders.get(state.order_id)) is not None:
                self.earlier[state.order_id] = before.filled - self.traded[state.order_id][0]
            self.traded[state.order_id] = (0, 0)
            self.owed[state.order_id], self.fees[state.order_id] = Fraction(), 0
        assert state.quantity == state.filled + state.remaining, f"{state} does not add up"
        self.orders[state.order_id] = state._replace(terms=None, last_price=None, last_quantity=None, liquidity=None)

    def _take_trade(self, trade: Trade) -> None:
        assert trade.seq == self.trade_seq + 1, f"a gap: trade {trade.seq} after {self.trade_seq}"
        self.trade_seq = trade.seq
        self.trades.append(trade)
        present = {order_id for order_id in (trade.maker_order_id, trade.taker_order_id) if self._is_present(order_id)}
        for order_id in present:
            quantity, notional = self.traded[order_id]
            self.traded[order_id] = quantity + trade.quantity, notional + trade.quantity * trade.price
        for order_id in {trade.maker_order_id, trade.taker_order_id} - present:
            self.earlier[order_id] -= trade.quantity
        self._take_fees(trade, present)

    def _is_present(self, order_id: bytes) -> bool:
        """Whether a trade is that of the order which has this id now.

        A report lists its orders before its trades. In one command a waiting stop may end an order, and another begin
        under its id, if the market has forgotten the id; then the first trades are those of the one that ended.
        """
        return not self.earlier.get(order_id)

    def _take_fees(self, trade: Trade, present: Collection[bytes]) -> None:
        taker_fee, maker_fee = fees_by_role(trade)
        assert self.listing is not None, "a trade before any listing"
        worth = trade.price * trade.quantity * self.listing.tick_size * self.listing.lot_size
        worth_in_units = Fraction(worth * 10**self.listing.quote_scale, 10**16)
        for order_id, client_id, fee, role in (
            (trade.taker_order_id, trade.taker_client_id, taker_fee, "taker"),
            (trade.maker_order_id, trade.maker_client_id, maker_fee, "maker"),
        ):
            if order_id in present:
                self.owed[order_id] += Fraction(self._rate(client_id, role), 10**6) * worth_in_units
                self.fees[order_id] += fee
            self.balances[client_id] = self.balances.get(client_id, 0) + fee

    def _rate(self, client_id: str, role: str) -> int:
        if self.rates is None or self.engine_version in (1, 2):
            return 0
        own = {rates.client_id: rates for rates in self.rates.clients}
        return int(getattr(own.get(client_id, self.rates), role))

    def _take_bust(self, trade_seq: int) -> None:
        """Mirror the trade: both clients get back what they paid for it."""
        assert trade_seq not in self.busted, f"trade {trade_seq} is busted twice"
        self.busted.add(trade_seq)
        trade = self.trades[trade_seq - 1]
        taker_fee, maker_fee = fees_by_role(trade)
        self.balances[trade.taker_client_id] -= taker_fee
        self.balances[trade.maker_client_id] -= maker_fee

    def _take_level(self, level: Level, is_change: bool) -> None:
        key = level.side, level.price
        before = self.levels.get(key, Level(*key, 0, 0))
        assert not is_change or before != level, f"{level} has not changed"
        if level.orders:
            self.levels[key] = level
        else:
            self.levels.pop(key, None)
