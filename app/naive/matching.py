"""A slow and obvious engine, with flat lists and full scans: the reference for what the fast one must report.

It is written from the matching rules R1-R17 and the conventions in docs/MATCHING.md alone and shares
nothing with the book but the value types: a mistake in one of them shows as a difference between the two.
"""

from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from app.matching.commands import (
    COMMAND_WORDS,
    Amend,
    Bust,
    Cancel,
    Command,
    EngineVersion,
    FeeSchedule,
    Halt,
    List,
    Listing,
    MassCancel,
    Moment,
    Place,
    Reduce,
    Replace,
    Resume,
    SetFees,
    Snapshot,
    Tick,
)
from app.matching.events import BustedTrade, Level, OrderState, Report, Trade, parts_of
from app.matching.words import (
    Liquidity,
    MarketStatus,
    OrderType,
    Outcome,
    Reason,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)

ENGINE_VERSIONS = (1, 2, 3)
MAX_RAW_BYTES = 1024
ASSET_UNIT = Fraction(1, 10**8)  # tick and lot sizes are in these
HUNDREDTH_OF_A_BASIS_POINT = Fraction(1, 10**6)
FULL_RATE = 10**6  # 100 %, in hundredths of a basis point
MAX_NAMED_CLIENTS = 1_000
MAX_BUSTED = 10_000

STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
PRICED = (OrderType.LIMIT, OrderType.STOP_LIMIT)
LASTING = (TimeInForce.GTC, TimeInForce.GTD)

# Side and price -> displayed quantity and number of orders.
_Levels = dict[tuple[Side, int], tuple[int, int]]


@dataclass(eq=False)
class _Order:
    """An order as it stands; `slice` is what the book shows of it while it rests, in lots."""

    terms: Place
    number: int
    seq: int  # of the report that accepted or rejected it
    mode: SelfTradePrevention
    price: int | None
    quantity: int
    filled: int = 0
    notional: int = 0
    fee_sum: Fraction = Fraction(0)  # of the quote asset, before any rounding
    fees: int = 0  # rounded, in the market's quote scale
    slice: int = 0
    status: Status = Status.NEW
    reason: Reason | None = None
    triggered: bool = False
    last_price: int | None = None
    last_quantity: int | None = None
    liquidity: Liquidity | None = None

    @property
    def remaining(self) -> int:
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in (Status.NEW, Status.PARTIALLY_FILLED)

    def show_slice(self) -> None:
        shown = self.terms.display_quantity
        self.slice = self.remaining if shown is None else min(shown, self.remaining)

    def state(self, seq: int | None = None) -> OrderState:
        """The order as the report with this seq shows it; with None, without last fill and terms."""
        reported = seq is not None
        return OrderState(
            order_id=self.terms.order_id,
            client_id=self.terms.client_id,
            status=self.status,
            reason=self.reason,
            price=self.price,
            quantity=self.quantity,
            filled=self.filled,
            remaining=self.remaining,
            notional=self.notional,
            last_price=self.last_price if reported else None,
            last_quantity=self.last_quantity if reported else None,
            liquidity=self.liquidity if reported else None,
            triggered=self.triggered,
            terms=self.terms if self.seq == seq else None,
            fees=self.fees,
        )


@dataclass(frozen=True)
class _Record:
    """A consumed key: which command it was, the seq of its report, and when."""

    fingerprint: int
    seq: int
    time_ms: int


class NaiveEngine:
    """One instrument. `apply` every command of its log in order, a valid `List` first.

    It begins with the engine version that the log's genesis record names.
    `orders` has the latest state of every order, as reported. Prices in ticks, quantities in lots.
    """

    def __init__(self, instrument: str, engine_version: int = ENGINE_VERSIONS[-1]) -> None:
        self.instrument = instrument
        self.seq = 0
        self.trade_seq = 0
        self.time_ms = 0
        self.orders: dict[bytes, OrderState] = {}
        self.engine_version = engine_version
        self.market_status = MarketStatus.OPEN
        self.last_price: int | None = None  # of the last trade
        self.fees: FeeSchedule | None = None  # in force; None: never set
        self.busted: list[int] = []
        self._listing: Listing | None = None
        self._resting: list[_Order] = []  # in order of their places: earlier is first at its price
        self._waiting: list[_Order] = []  # stops that have not triggered
        self._triggered: list[_Order] = []  # stops that have, and wait for fills
        self._fills_left = 0
        self._next_number = 0
        self._records: list[_Record] = []  # index: the record's count
        self._counts: dict[bytes, int] = {}  # key -> count of its latest record
        self._live_from = 0
        self._shown: _Levels = {}  # after the last command
        self._touched: list[_Order] = []  # by the command at hand
        self._trades: list[Trade] = []

    @property
    def listing(self) -> Listing:
        if self._listing is None:
            raise ValueError("not listed yet")
        return self._listing

    def apply(self, command: Command, at: Moment) -> Report:
        """Carry out one command; the report is whole, `parts` says how many seqs it takes."""
        if self._listing is None and not (isinstance(command, List) and self._is_valid(command.listing)):
            raise ValueError("the first command must be a valid List")
        self.time_ms = max(self.time_ms, at.time_ms)
        self._touched, self._trades = [], []
        self._expire()
        if self._triggered and self.market_status == MarketStatus.OPEN:
            self._fills_left = self.listing.max_fills
            self._trigger()
        self._move_window()
        outcome, reason, original_seq = self._decide(command)
        seq = self.seq + 1
        states = [order.state(seq) for order in self._touched]
        whole = isinstance(command, Snapshot) and outcome == Outcome.ACCEPTED
        before, self._shown = self._shown, self._levels()
        levels = _level_changes(before, self._shown, whole)
        parts = parts_of(len(states) + len(self._trades) + len(levels))
        self.seq += parts
        self.orders.update((state.order_id, state) for state in states)
        accepted = outcome == Outcome.ACCEPTED
        return Report(
            instrument=self.instrument,
            seq=seq,
            offset=at.offset,
            time_ms=self.time_ms,
            engine_version=self.engine_version,
            command=COMMAND_WORDS[type(command)],
            command_id=None if isinstance(command, Tick) else command.command_id,
            outcome=outcome,
            reason=reason,
            order_id=command.order_id if isinstance(command, Place | Cancel | Amend | Reduce | Replace) else None,
            original_seq=original_seq,
            orders=states,
            trades=self._trades,
            levels=levels,
            listing=self.listing if accepted and isinstance(command, List) else None,
            market_status=self.market_status if accepted and isinstance(command, List | Halt | Resume) else None,
            fees=command.schedule if accepted and isinstance(command, SetFees) else None,
            bust=BustedTrade(command.trade_seq, command.reason) if accepted and isinstance(command, Bust) else None,
            parts=parts,
        )

    def depth(self, levels: int) -> tuple[list[Level], list[Level]]:
        """The best `levels` bids and asks, best first."""
        every = [Level(side, price, *shown) for (side, price), shown in self._levels().items()]
        every.sort(key=_by_side_and_price)
        bids = [level for level in every if level.side == Side.BUY]
        asks = [level for level in every if level.side == Side.SELL]
        return bids[:levels], asks[:levels]

    def open_orders_list(self) -> list[OrderState]:
        """Every open order: bids, then asks, in order of execution, then waiting stops by number."""
        buys = sorted(self._on_side(Side.BUY), key=lambda order: -_price(order))
        sells = sorted(self._on_side(Side.SELL), key=_price)
        return [order.state() for order in buys + sells + sorted(self._waiting + self._triggered, key=_number)]

    # Time and identity

    def _expire(self) -> None:
        due = [order for order in self._open() if self._expires(order.terms) <= self.time_ms]
        for order in sorted(due, key=lambda order: (self._expires(order.terms), order.number)):
            self._end(order, Status.EXPIRED, Reason.EXPIRE_TIME_REACHED)

    def _expires(self, terms: Place) -> int:
        return self.time_ms + 1 if terms.expire_time_ms is None else terms.expire_time_ms

    def _move_window(self) -> None:
        if self._listing is None:
            return
        self._live_from = max(self._live_from, len(self._records) - self.listing.id_window_count)
        oldest = self.time_ms - self.listing.id_window_ms
        while self._live_from < len(self._records) and self._records[self._live_from].time_ms < oldest:
            self._live_from += 1

    def _known(self, key: bytes) -> tuple[int, int] | None:
        """Fingerprint and seq of the command that used this key, if it is still in the window."""
        count = self._counts.get(key, -1)
        if count >= self._live_from:
            return self._records[count].fingerprint, self._records[count].seq
        for order in self._open():
            if order.terms.order_id == key:
                return order.terms.fingerprint, order.seq
        return None

    def _remember(self, key: bytes, fingerprint: int) -> None:
        self._counts[key] = len(self._records)
        self._records.append(_Record(fingerprint, self.seq + 1, self.time_ms))

    # Commands

    def _decide(self, command: Command) -> tuple[Outcome, Reason | None, int | None]:
        """Outcome, reason and original seq."""
        if isinstance(command, Tick):
            return Outcome.ACCEPTED, None, None
        known = self._known(command.command_id)
        if known is not None and known[0] == command.fingerprint:
            return Outcome.DUPLICATE, None, known[1]
        if known is not None:
            return Outcome.REJECTED, Reason.DUPLICATE_ORDER, None
        self._remember(command.command_id, command.fingerprint)
        reason = self._carry_out(command)
        return (Outcome.ACCEPTED if reason is None else Outcome.REJECTED), reason, None

    def _carry_out(self, command: Command) -> Reason | None:
        match command:
            case Place():
                return self._place(command)
            case Cancel() | Amend() | Reduce():
                return self._change(command)
            case Replace():
                return self._replace(command)
            case MassCancel():
                self._mass_cancel(command)
            case List():
                return self._list(command.listing)
            case Halt():
                self.market_status = MarketStatus.HALTED
            case Resume():
                self.market_status = MarketStatus.OPEN
            case EngineVersion():
                if command.version not in ENGINE_VERSIONS:
                    return Reason.UNSUPPORTED_ENGINE_VERSION
                self.engine_version = command.version
            case SetFees():
                return self._set_fees(command.schedule)
            case Bust():
                return self._bust(command.trade_seq)
        return None

    def _place(self, new: Place) -> Reason | None:
        reason = self._why_not(new)
        if reason is None:
            self._enter(new)
        else:
            self._touch(self._order(new, Status.REJECTED, reason))
        return reason

    def _change(self, command: Cancel | Amend | Reduce) -> Reason | None:
        order = self._target(command.order_id, command.client_id)
        if isinstance(order, Reason):
            return order
        if isinstance(command, Amend):
            return self._amend(order, command)
        if isinstance(command, Cancel):
            self._end(order, Status.CANCELED, Reason.CANCELED_BY_CLIENT)
            return None
        if command.quantity <= 0:
            return Reason.INCORRECT_QUANTITY
        self._set_in_place(order, order.price, order.quantity - command.quantity)
        return None

    def _amend(self, order: _Order, command: Amend) -> Reason | None:
        reason = self._why_not_amend(order, command)
        if reason is not None:
            return reason
        price = order.price if command.price is None else command.price
        quantity = order.quantity if command.quantity is None else command.quantity
        keeps_place = price == order.price and quantity <= order.quantity
        if order not in self._resting or quantity <= order.filled or keeps_place:
            self._set_in_place(order, price, quantity)
        else:
            self._resting.remove(order)
            self._touch(order)
            order.price, order.quantity = price, quantity
            self._fills_left = self.listing.max_fills
            self._take(order)
            self._trigger()
        return None

    def _set_in_place(self, order: _Order, price: int | None, quantity: int) -> None:
        if quantity <= order.filled:
            self._end(order, Status.CANCELED, Reason.CANCELED_BY_CLIENT)
            return
        self._touch(order)
        order.price, order.quantity = price, quantity
        order.slice = min(order.slice, order.remaining)

    def _replace(self, command: Replace) -> Reason | None:
        new = command.new
        if self._known(new.order_id) is not None:
            return Reason.DUPLICATE_ORDER
        old = self._target(command.order_id, command.client_id)
        if isinstance(old, Reason):
            return old
        if new.client_id != old.terms.client_id:
            return Reason.UNKNOWN_ORDER
        reason = self._why_not(new, leaving=old)
        if reason is not None:
            return reason
        self._end(old, Status.CANCELED, Reason.REPLACED)
        self._remember(new.order_id, new.fingerprint)
        self._enter(new)
        return None

    def _mass_cancel(self, command: MassCancel) -> None:
        for order in sorted(self._open(), key=_number):
            if command.client_id in (None, order.terms.client_id) and command.side in (
                None,
                order.terms.side,
            ):
                self._end(order, Status.CANCELED, Reason.MASS_CANCELED)

    def _list(self, listing: Listing) -> Reason | None:
        fixed = ("instrument", "base_asset", "quote_asset", "tick_size", "lot_size", "quote_scale")
        old = self._listing
        if not self._is_valid(listing):
            return Reason.UNSUPPORTED_ORDER
        if old is not None and any(getattr(old, field) != getattr(listing, field) for field in fixed):
            return Reason.UNSUPPORTED_ORDER
        self._listing = listing
        return None

    def _set_fees(self, schedule: FeeSchedule) -> Reason | None:
        if self.engine_version < 3:
            return Reason.UNSUPPORTED_ENGINE_VERSION
        rates = [schedule.maker, schedule.taker]
        for client in schedule.clients:
            rates += [client.maker, client.taker]
        if max(rates) > FULL_RATE or min(rates) < -FULL_RATE or len(schedule.clients) > MAX_NAMED_CLIENTS:
            return Reason.INVALID_FEES
        self.fees = schedule
        return None

    def _bust(self, trade_seq: int) -> Reason | None:
        if self.engine_version < 3:
            return Reason.UNSUPPORTED_ENGINE_VERSION
        if trade_seq not in range(1, self.trade_seq + 1):
            return Reason.UNKNOWN_TRADE
        if trade_seq in self.busted:
            return Reason.TRADE_BUSTED
        if len(self.busted) == MAX_BUSTED:
            return Reason.TOO_MANY_BUSTS
        self.busted.append(trade_seq)
        return None

    def _is_valid(self, listing: Listing) -> bool:
        return (
            listing.instrument == self.instrument
            and min(listing.tick_size, listing.lot_size, listing.max_fills, listing.max_slices) >= 1
            and 1 <= listing.min_price <= listing.max_price
            and 1 <= listing.min_quantity <= listing.max_quantity
            and min(listing.max_open_orders, listing.max_open_orders_per_client) >= 0
            and min(listing.id_window_count, listing.id_window_ms) >= 0
            and listing.quote_scale in range(9)
        )

    # Checks

    def _target(self, order_id: bytes, client_id: str | None) -> _Order | Reason:
        for order in self._open():
            if order.terms.order_id == order_id:
                return order if client_id in (None, order.terms.client_id) else Reason.UNKNOWN_ORDER
        if self._counts.get(order_id, -1) >= self._live_from:
            return Reason.TOO_LATE_TO_CANCEL
        return Reason.UNKNOWN_ORDER

    def _why_not(self, new: Place, leaving: _Order | None = None) -> Reason | None:
        """The first check that refuses this order, as if `leaving` were not in the book."""
        prices = [price for price in (new.price, new.stop_price) if price is not None]
        if self.market_status == MarketStatus.HALTED:
            return Reason.MARKET_CLOSED
        if _is_unsupported(new):
            return Reason.UNSUPPORTED_ORDER
        if not self._is_quantity(new.quantity):
            return Reason.INCORRECT_QUANTITY
        if new.display_quantity is not None and not 1 <= new.display_quantity <= new.quantity:
            return Reason.INCORRECT_QUANTITY
        if self._has_too_many_slices(new, new.quantity):
            return Reason.INCORRECT_QUANTITY
        if any(price <= 0 for price in prices):
            return Reason.INVALID_PRICE_INCREMENT
        if not all(self._is_in_band(price) for price in prices):
            return Reason.PRICE_BAND
        if new.deadline_ms is not None and self.time_ms > new.deadline_ms:
            return Reason.STALE_ORDER
        if self._expires(new) <= self.time_ms:
            return Reason.STALE_ORDER
        if self._is_full(new, leaving):
            return Reason.TOO_MANY_ORDERS
        if new.post_only and self._crossing(new.side, new.price, leaving):
            return Reason.POST_ONLY_WOULD_TAKE
        return None

    def _why_not_amend(self, order: _Order, command: Amend) -> Reason | None:
        if self.market_status == MarketStatus.HALTED:
            return Reason.MARKET_CLOSED
        if command.price is not None and order.price is None:
            return Reason.UNSUPPORTED_ORDER
        if self.engine_version >= 2 and command.quantity in range(order.filled + 1):
            return None
        if command.quantity is not None and not self._is_quantity(command.quantity):
            return Reason.INCORRECT_QUANTITY
        grown = None if command.quantity is None or command.quantity <= order.quantity else command.quantity
        if grown is not None and self._has_too_many_slices(order.terms, grown):
            return Reason.INCORRECT_QUANTITY
        if command.price is not None and command.price <= 0:
            return Reason.INVALID_PRICE_INCREMENT
        if command.price is not None and not self._is_in_band(command.price):
            return Reason.PRICE_BAND
        if order.terms.post_only and self._crossing(order.terms.side, command.price or order.price):
            return Reason.POST_ONLY_WOULD_TAKE
        return None

    def _is_quantity(self, quantity: int) -> bool:
        return quantity > 0 and self.listing.min_quantity <= quantity <= self.listing.max_quantity

    def _has_too_many_slices(self, terms: Place, quantity: int) -> bool:
        if self.engine_version == 1 or terms.display_quantity is None:
            return False
        slices = -(-quantity // terms.display_quantity)
        return slices > self.listing.max_slices

    def _is_in_band(self, price: int) -> bool:
        return self.listing.min_price <= price <= self.listing.max_price

    def _is_full(self, new: Place, leaving: _Order | None) -> bool:
        if new.type not in STOPS and not (new.type == OrderType.LIMIT and new.time_in_force in LASTING):
            return False
        others = [order for order in self._open() if order is not leaving]
        own = [order for order in others if order.terms.client_id == new.client_id]
        return len(others) >= self.listing.max_open_orders or len(own) >= self.listing.max_open_orders_per_client

    # Matching

    def _enter(self, new: Place) -> None:
        order = self._order(new)
        self._touch(order)
        self._fills_left = self.listing.max_fills
        if new.type in STOPS:
            self._waiting.append(order)
        else:
            self._take(order)
        self._trigger()

    def _trigger(self) -> None:
        """R9: run triggered stops, one after the other, looking again after each; without fills they wait."""
        while self._fills_left > 0 or self.engine_version == 1:
            stop = _nearest(self._triggered) or _nearest(self._reached())
            if stop is None:
                return
            self._mark_triggered(stop)
            self._triggered.remove(stop)
            self._take(stop)
        for stop in self._reached():
            self._mark_triggered(stop)

    def _reached(self) -> list[_Order]:
        """The waiting stops whose condition holds, in the order in which they trigger."""
        last = self.last_price
        if last is None:
            return []
        buys = [stop for stop in self._waiting if stop.terms.side == Side.BUY and last >= _stop_price(stop)]
        sells = [stop for stop in self._waiting if stop.terms.side == Side.SELL and last <= _stop_price(stop)]
        return sorted(buys, key=_turn) + sorted(sells, key=_turn)

    def _mark_triggered(self, stop: _Order) -> None:
        self._touch(stop)
        if not stop.triggered:
            stop.triggered = True
            self._waiting.remove(stop)
            self._triggered.append(stop)

    def _take(self, taker: _Order) -> None:
        """Match an order that is not in the book; what is left of it rests, waits for fills or ends."""
        most = self.listing.max_fills
        may_wait = self.engine_version >= 2 and self._fills_left < most
        if taker.terms.time_in_force == TimeInForce.FOK and not self._would_fill(taker, self._fills_left):
            if may_wait and self._would_fill(taker, most):
                self._triggered.append(taker)
                self._fills_left = 0
            else:
                self._end(taker, Status.EXPIRED, Reason.FOK_NOT_FILLED)
            return
        self._match(taker)
        if not taker.is_open:
            return
        if self._crossing(taker.terms.side, taker.price):
            if may_wait:
                self._triggered.append(taker)
            else:
                self._end(taker, Status.EXPIRED, Reason.MAX_FILLS)
        elif taker.price is None:
            self._end(taker, Status.EXPIRED, Reason.INSUFFICIENT_LIQUIDITY)
        elif taker.terms.time_in_force not in LASTING:
            self._end(taker, Status.EXPIRED, Reason.IOC_REMAINDER)
        else:
            taker.show_slice()
            self._resting.append(taker)

    def _would_fill(self, taker: _Order, fills: int) -> bool:
        """Whether the order would fill completely (R4): try it on a copy."""
        trial, trial_taker = copy(self), copy(taker)
        trial._fills_left = fills
        trial._resting = [copy(order) for order in self._resting]
        trial._trades = list(self._trades)
        trial._touched = []
        trial._match(trial_taker)
        return trial_taker.filled == taker.quantity

    def _match(self, taker: _Order) -> None:
        """Trade as long as something crosses and fills are left."""
        while taker.is_open and self._fills_left > 0:
            makers = self._crossing(taker.terms.side, taker.price)
            if not makers:
                return
            maker = min(makers, key=_price) if taker.terms.side == Side.BUY else max(makers, key=_price)
            if maker.terms.client_id == taker.terms.client_id and taker.mode != SelfTradePrevention.NONE:
                self._prevent(taker, maker)
            else:
                self._fill(taker, maker)

    def _crossing(self, side: Side, price: int | None, leaving: _Order | None = None) -> list[_Order]:
        """The resting orders that an order of this side and price meets, in order of their places."""
        if side == Side.BUY:
            makers = [maker for maker in self._on_side(Side.SELL) if price is None or _price(maker) <= price]
        else:
            makers = [maker for maker in self._on_side(Side.BUY) if price is None or _price(maker) >= price]
        return [maker for maker in makers if maker is not leaving]

    def _fill(self, taker: _Order, maker: _Order) -> None:
        price = _price(maker)
        queue = [other for other in self._on_side(maker.terms.side) if _price(other) == price]
        joined = self.engine_version >= 2 and queue == [maker]
        slice_before, hidden = maker.slice, maker.remaining - maker.slice
        quantity = min(taker.remaining, maker.remaining if joined else maker.slice)
        self._fills_left -= 1
        self.trade_seq += 1
        self.last_price = price
        ids = maker.terms.order_id, taker.terms.order_id, maker.terms.client_id, taker.terms.client_id
        taker_fee = self._charge(taker, Liquidity.TAKER, price * quantity)
        maker_fee = self._charge(maker, Liquidity.MAKER, price * quantity)
        taker_buys = taker.terms.side == Side.BUY
        buyer_fee, seller_fee = (taker_fee, maker_fee) if taker_buys else (maker_fee, taker_fee)
        self._trades.append(Trade(self.trade_seq, price, quantity, *ids, taker.terms.side, buyer_fee, seller_fee))
        for order, liquidity in ((taker, Liquidity.TAKER), (maker, Liquidity.MAKER)):
            self._touch(order)
            order.filled += quantity
            order.notional += price * quantity
            order.last_price, order.last_quantity, order.liquidity = price, quantity, liquidity
            order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
        if not maker.is_open:
            self._resting.remove(maker)
        elif quantity < slice_before:
            maker.slice -= quantity
        elif quantity > slice_before:
            maker.slice = _left_of_slice(maker, hidden, quantity - slice_before)
        else:
            self._resting.remove(maker)
            self._resting.append(maker)
            maker.show_slice()

    def _charge(self, order: _Order, liquidity: Liquidity, notional: int) -> int:
        """R16: what this fill adds to the order's fees; `notional` is ticks x lots."""
        if self.fees is None or self.engine_version < 3:
            return 0
        own = [rates for rates in self.fees.clients if rates.client_id == order.terms.client_id]
        rates = own[0] if own else self.fees
        rate = rates.maker if liquidity == Liquidity.MAKER else rates.taker
        worth = notional * (self.listing.tick_size * ASSET_UNIT) * (self.listing.lot_size * ASSET_UNIT)
        paid = order.fees
        order.fee_sum += rate * HUNDREDTH_OF_A_BASIS_POINT * worth
        order.fees = ceil(order.fee_sum * 10**self.listing.quote_scale)
        return order.fees - paid

    def _prevent(self, taker: _Order, maker: _Order) -> None:
        """R7: the taker has met an order of its own client."""
        cancels_maker = taker.mode in (SelfTradePrevention.CANCEL_OLDEST, SelfTradePrevention.CANCEL_BOTH)
        cancels_taker = taker.mode in (SelfTradePrevention.CANCEL_NEWEST, SelfTradePrevention.CANCEL_BOTH)
        if taker.mode == SelfTradePrevention.DECREMENT_AND_CANCEL:
            taker_open, maker_open = taker.remaining, maker.remaining
            cancels_maker, cancels_taker = maker_open <= taker_open, taker_open <= maker_open
            if not cancels_taker:
                self._set_in_place(taker, taker.price, taker.quantity - maker_open)
            if not cancels_maker:
                self._set_in_place(maker, maker.price, maker.quantity - taker_open)
        if cancels_maker:
            self._end(maker, Status.CANCELED, Reason.SELF_TRADE_PREVENTED)
        if cancels_taker:
            self._end(taker, Status.CANCELED, Reason.SELF_TRADE_PREVENTED)

    # Orders

    def _order(self, terms: Place, status: Status = Status.NEW, reason: Reason | None = None) -> _Order:
        self._next_number += 1
        mode = terms.self_trade_prevention or self.listing.self_trade_prevention
        seq = self.seq + 1
        return _Order(terms, self._next_number, seq, mode, terms.price, terms.quantity, status=status, reason=reason)

    def _open(self) -> list[_Order]:
        return self._resting + self._waiting + self._triggered

    def _on_side(self, side: Side) -> list[_Order]:
        return [order for order in self._resting if order.terms.side == side]

    def _touch(self, order: _Order) -> None:
        if not any(order is touched for touched in self._touched):
            order.last_price = order.last_quantity = order.liquidity = None
            self._touched.append(order)

    def _end(self, order: _Order, status: Status, reason: Reason) -> None:
        self._touch(order)
        order.status, order.reason = status, reason
        self._resting = [other for other in self._resting if other is not order]
        self._waiting = [other for other in self._waiting if other is not order]
        self._triggered = [other for other in self._triggered if other is not order]

    def _levels(self) -> _Levels:
        levels: _Levels = {}
        for order in self._resting:
            key = order.terms.side, _price(order)
            quantity, orders = levels.get(key, (0, 0))
            levels[key] = quantity + order.slice, orders + 1
        return levels


class NaiveRejections:
    """The reports about records that are no command of a listed instrument, under a reserved name."""

    def __init__(self, partition: int) -> None:
        self.instrument = f"_partition-{partition}"
        self.seq = 0
        self.time_ms = 0

    def reject(self, reason: Reason, raw: bytes, at: Moment, engine_version: int) -> Report:
        """Report a refused record; `raw` is its value in the log, `engine_version` that of the log's genesis record."""
        self.seq += 1
        self.time_ms = max(self.time_ms, at.time_ms)
        return Report(
            instrument=self.instrument,
            seq=self.seq,
            offset=at.offset,
            time_ms=self.time_ms,
            engine_version=engine_version,
            command="unknown",
            command_id=None,
            outcome=Outcome.REJECTED,
            reason=reason,
            raw=raw[:MAX_RAW_BYTES].decode("utf-8", "replace"),
        )


def _is_unsupported(new: Place) -> bool:
    """Whether the parts of this order do not belong together."""
    lasting_limit = new.type == OrderType.LIMIT and new.time_in_force in LASTING
    return (
        (new.price is not None) != (new.type in PRICED)
        or (new.stop_price is not None) != (new.type in STOPS)
        or (new.expire_time_ms is not None) != (new.time_in_force == TimeInForce.GTD)
        or (new.type == OrderType.MARKET and new.time_in_force == TimeInForce.GTD)
        or (new.post_only and not lasting_limit)
        or (new.display_quantity is not None and not lasting_limit)
    )


def _level_changes(before: _Levels, after: _Levels, whole: bool) -> list[Level]:
    """The levels that differ, or if `whole` every level and those that are gone; bids first, best first."""
    shown = [Level(*key, *level) for key, level in after.items() if whole or before.get(key) != level]
    gone = [Level(*key, 0, 0) for key in before if key not in after]
    return sorted(shown + gone, key=_by_side_and_price)


def _by_side_and_price(level: Level) -> tuple[int, int]:
    return (0, -level.price) if level.side == Side.BUY else (1, level.price)


def _price(order: _Order) -> int:
    if order.price is None:
        raise AssertionError("an order without a price rests in the book")
    return order.price


def _stop_price(order: _Order) -> int:
    if order.terms.stop_price is None:
        raise AssertionError("an order without a stop price waits")
    return order.terms.stop_price


def _number(order: _Order) -> int:
    return order.number


def _turn(stop: _Order) -> tuple[bool, int, int]:
    """R9: buys before sells, nearest first, then by number."""
    is_sell = stop.terms.side == Side.SELL
    return is_sell, -_stop_price(stop) if is_sell else _stop_price(stop), stop.number


def _nearest(stops: list[_Order]) -> _Order | None:
    return min(stops, key=_turn, default=None)


def _left_of_slice(maker: _Order, hidden: int, taken: int) -> int:
    """What an iceberg displays after this much of its hidden quantity was filled, slice after slice."""
    size = maker.terms.display_quantity
    if size is None:
        raise AssertionError("an order that hides nothing has one slice")
    whole_slices, part = divmod(taken, size)
    return min(size, hidden - whole_slices * size) - part
