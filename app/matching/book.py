"""The order book of one instrument: applies commands and returns one report for each."""

from collections.abc import Callable
from typing import Any

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
from app.matching.events import MAX_ENTRIES_PER_PART, BustedTrade, Level, Report, parts_of
from app.matching.fees import Tariff
from app.matching.identities import Block, Identities
from app.matching.journal import Journal, refused_state
from app.matching.open_orders import OpenOrders
from app.matching.orders import Order, terms_of
from app.matching.rules import (
    is_valid_listing,
    refusal_of_amend,
    refusal_of_bust,
    refusal_of_fees,
    refusal_of_listing,
    refusal_of_place,
)
from app.matching.taking import take
from app.matching.versions import NEWEST_VERSION, VERSIONS
from app.matching.words import MarketStatus, Outcome, Reason, Status

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long
# Looked up once: a member of an enum class takes as long to find as a whole call.
_ACCEPTED, _REJECTED, _DUPLICATE = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DUPLICATE
_CANCELED, _BY_CLIENT = Status.CANCELED, Reason.CANCELED_BY_CLIENT


class Book:
    """One instrument's market. The first command must be a valid `List`.

    Its state is a function of the commands and moments it was given: `seq` is that of the last report (the last part's,
    if it had several), `trade_seq` the last trade's, `offset` the last command's, `time_ms` the largest time seen.
    `fees` are the rates that were set last, by the report `fees_seq`; `busted` are the seqs of the busted trades.
    """

    def __init__(self, instrument: str, engine_version: int = NEWEST_VERSION) -> None:
        self.instrument = instrument
        self._listing = _UNLISTED
        self.seq = 0
        self.offset = -1
        self.listed_offset = -1
        self.time_ms = 0
        self.halted = False
        self.orders = OpenOrders()
        self.identities = Identities()
        self.journal = Journal()
        self.fees: FeeSchedule | None = None
        self.fees_seq = 0
        self.busted: set[int] = set()
        self._obey(engine_version)
        self._handlers: dict[type, Callable[[Any], Report]] = {
            Place: self._place,
            Cancel: self._cancel,
            Amend: self._amend,
            Reduce: self._reduce,
            Replace: self._replace,
            MassCancel: self._mass_cancel,
            List: self._list,
            Halt: self._halt,
            Resume: self._resume,
            Snapshot: self._snapshot,
            EngineVersion: self._engine_version,
            SetFees: self._set_fees,
            Bust: self._bust,
            Tick: self._tick,
        }

    # Commands

    def apply(self, command: Command, at: Moment) -> Report:
        """Carry out one command; the report says all that it changed. ValueError: the first is no valid `List`."""
        if self._listing is _UNLISTED:
            self._require_listing(command)
            self.listed_offset = at.offset
        offset, time_ms = at
        self.offset = offset
        if time_ms > self.time_ms:
            self.time_ms = time_ms
        else:
            time_ms = self.time_ms
        orders, identities = self.orders, self.identities
        if orders.expiry_ms is not None and orders.expiry_ms <= time_ms:
            self._expire(time_ms)
        if orders.some_triggered and not self.halted:
            self.journal.allow(self._listing.max_fills)
            self._run_stops()
        identities.advance(time_ms)
        if not isinstance(command, Tick):
            key, fingerprint = command[0], command[1]
            record = identities.find(key)
            if record is not None:
                return self._answer_repeat(command, fingerprint == record[1], record[3])
            order = orders.by_id.get(key)
            if order is not None:
                return self._answer_repeat(command, fingerprint == order.fingerprint, order.seq)
            identities.add(key, fingerprint, self.seq + 1, time_ms)
        return self._handlers[type(command)](command)

    def _answer_repeat(self, command: Command, is_same: bool, seq: int) -> Report:
        """Report a command whose key was used before, and change nothing (R15)."""
        if is_same:
            return self._report(command, _DUPLICATE, None, seq)
        return self._report(command, _REJECTED, Reason.DUPLICATE_ORDER)

    def _place(self, place: Place) -> Report:
        listing = self._listing
        reason = refusal_of_place(place, listing, self._behaviour, self.halted, self.time_ms, self.orders)
        if reason is not None:
            return self._report(place, _REJECTED, reason, placed=place)
        self._enter(self._accept(place))
        return self._report(place, _ACCEPTED, placed=place)

    def _cancel(self, cancel: Cancel) -> Report:
        order = self._target(cancel)
        if isinstance(order, Reason):
            return self._report(cancel, _REJECTED, order)
        self.orders.end(order, _CANCELED, _BY_CLIENT)
        self.journal.touch(order)
        return self._report(cancel, _ACCEPTED)

    def _reduce(self, reduce: Reduce) -> Report:
        order = self._target(reduce)
        if isinstance(order, Reason):
            return self._report(reduce, _REJECTED, order)
        if reduce.quantity <= 0:
            return self._report(reduce, _REJECTED, Reason.INCORRECT_QUANTITY)
        self._shrink(order, order.remaining - reduce.quantity)
        return self._report(reduce, _ACCEPTED)

    def _amend(self, amend: Amend) -> Report:
        order = self._target(amend)
        if isinstance(order, Reason):
            return self._report(amend, _REJECTED, order)
        reason = refusal_of_amend(amend, order, self._listing, self._behaviour, self.halted, self.orders)
        if reason is not None:
            return self._report(amend, _REJECTED, reason)
        remaining = order.remaining if amend.quantity is None else amend.quantity - order.filled
        price = order.price if amend.price is None else amend.price
        if remaining <= 0 or (price == order.price and remaining <= order.remaining):
            self._shrink(order, remaining)
        elif order.queue is None:
            order.remaining, order.price = remaining, price
            self.journal.touch(order)
        else:
            self.orders.leave_queue(order)
            order.remaining, order.price = remaining, price
            self._enter(order)
        return self._report(amend, _ACCEPTED)

    def _replace(self, replace: Replace) -> Report:
        new = replace.new
        if self.identities.find(new.order_id) or new.order_id in self.orders.by_id:
            return self._report(replace, _REJECTED, Reason.DUPLICATE_ORDER)
        order = self._target(replace)
        if isinstance(order, Reason):
            return self._report(replace, _REJECTED, order)
        if new.client_id != order.client_id:
            return self._report(replace, _REJECTED, Reason.UNKNOWN_ORDER)
        reason = refusal_of_place(new, self._listing, self._behaviour, self.halted, self.time_ms, self.orders, order)
        if reason is not None:
            return self._report(replace, _REJECTED, reason)
        self.identities.add(new.order_id, new.fingerprint, self.seq + 1, self.time_ms)
        self.orders.end(order, Status.CANCELED, Reason.REPLACED)
        self.journal.touch(order)
        self._enter(self._accept(new))
        return self._report(replace, _ACCEPTED, placed=new)

    def _mass_cancel(self, command: MassCancel) -> Report:
        client_id, side = command.client_id, command.side
        for order in list(self.orders.by_id.values()):
            if (client_id is None or order.client_id == client_id) and (side is None or order.side is side):
                self.orders.end(order, Status.CANCELED, Reason.MASS_CANCELED)
                self.journal.touch(order)
        return self._report(command, _ACCEPTED)

    def _list(self, command: List) -> Report:
        reason = refusal_of_listing(command.listing, self._listing)
        if reason is not None:
            return self._report(command, _REJECTED, reason)
        self.set_listing(command.listing)
        return self._report(command, _ACCEPTED)._replace(listing=command.listing, market_status=self.market_status)

    def _halt(self, command: Halt) -> Report:
        self.halted = True
        return self._report(command, _ACCEPTED)._replace(market_status=self.market_status)

    def _resume(self, command: Resume) -> Report:
        self.halted = False
        return self._report(command, _ACCEPTED)._replace(market_status=self.market_status)

    def _snapshot(self, command: Snapshot) -> Report:
        return self._report(
            command, _ACCEPTED, levels=[*self.orders.bids.take_all_levels(), *self.orders.asks.take_all_levels()]
        )

    def _engine_version(self, command: EngineVersion) -> Report:
        if command.version not in VERSIONS:
            return self._report(command, _REJECTED, Reason.UNSUPPORTED_ENGINE_VERSION)
        self._obey(command.version)
        return self._report(command, _ACCEPTED)

    def _set_fees(self, command: SetFees) -> Report:
        reason = refusal_of_fees(command.schedule, self._behaviour)
        if reason is not None:
            return self._report(command, _REJECTED, reason)
        self.set_fees(command.schedule, self.seq + 1)
        return self._report(command, _ACCEPTED)._replace(fees=command.schedule)

    def _bust(self, command: Bust) -> Report:
        reason = refusal_of_bust(command.trade_seq, self.trade_seq, self.busted, self._behaviour)
        if reason is not None:
            return self._report(command, _REJECTED, reason)
        self.busted.add(command.trade_seq)
        return self._report(command, _ACCEPTED)._replace(bust=BustedTrade(command.trade_seq, command.reason))

    def _tick(self, command: Tick) -> Report:
        return self._report(command, _ACCEPTED)

    # Steps

    def _require_listing(self, command: Command) -> None:
        if not isinstance(command, List) or not is_valid_listing(command.listing):
            raise ValueError(f"{self.instrument}: the first command of a book must be a valid list")
        if command.listing.instrument != self.instrument:
            raise ValueError(f"{self.instrument}: cannot be listed as {command.listing.instrument}")
        self.set_listing(command.listing)

    def set_listing(self, listing: Listing) -> None:
        """Set the rules of the market from this command on."""
        self._listing = listing
        self.identities.set_window(listing.id_window_count, listing.id_window_ms)

    def set_fees(self, schedule: FeeSchedule, seq: int) -> None:
        """From here on these rates hold, which the report with this seq has set (R16)."""
        self.fees, self.fees_seq = schedule, seq
        self._set_tariff()

    def _obey(self, version: int) -> None:
        """Set the engine version from this command on."""
        self.engine_version, self._behaviour = version, VERSIONS[version]
        self._set_tariff()

    def _set_tariff(self) -> None:
        fees = self.fees if self._behaviour.charges_fees else None
        self.journal.tariff = None if fees is None else Tariff(fees, self._listing)

    def _expire(self, time_ms: int) -> None:
        """End expired orders, before the command does anything else (R10)."""
        while (order := self.orders.pop_expired(time_ms)) is not None:
            self.orders.end(order, Status.EXPIRED, Reason.EXPIRE_TIME_REACHED)
            self.journal.touch(order)

    def _target(self, command: Cancel | Amend | Reduce | Replace) -> Order | Reason:
        """The open order that a command names, or the reason to refuse the command."""
        order = self.orders.by_id.get(command.order_id)
        if order is None:
            return Reason.TOO_LATE_TO_CANCEL if self.identities.find(command.order_id) else Reason.UNKNOWN_ORDER
        if command.client_id is not None and command.client_id != order.client_id:
            return Reason.UNKNOWN_ORDER
        return order

    def _accept(self, place: Place) -> Order:
        terms = terms_of(place, self._listing.self_trade_prevention)
        return Order(
            place.order_id, place.fingerprint, self.seq + 1, place.client_id, terms, place.price, place.quantity
        )

    def _enter(self, order: Order) -> None:
        """Match a new order, then the stops that it triggers (R9)."""
        orders, journal = self.orders, self.journal
        journal.touch(order)
        journal.allow(self._listing.max_fills)
        if order.terms.stop_price is not None and not order.triggered:
            orders.admit(order)
            orders.wait(order)
        else:
            take(order, orders, journal, self._behaviour)
            if not journal.trades:
                return
        self._run_stops()

    def _run_stops(self) -> None:
        """Match triggered stops one after the other; when no fills are left, they wait for the next command (R9)."""
        orders, journal, behaviour = self.orders, self.journal, self._behaviour
        while journal.fills_left or not behaviour.keeps_triggered:
            stop = orders.pop_stop(journal.last_price)
            if stop is None:
                return
            self._trigger(stop)
            take(stop, orders, journal, behaviour)
        while (stop := orders.pop_reached(journal.last_price)) is not None:
            self._trigger(stop)
            orders.wait_for_fills(stop)

    def _trigger(self, stop: Order) -> None:
        self.journal.touch(stop)
        stop.triggered = True

    def _shrink(self, order: Order, remaining: int) -> None:
        """Reduce an open order to `remaining` lots; 0 cancels it (R6)."""
        self.journal.touch(order)
        if remaining > 0:
            self.orders.shrink(order, remaining)
        else:
            self.orders.end(order, _CANCELED, _BY_CLIENT)

    def _report(
        self,
        command: Command,
        outcome: Outcome,
        reason: Reason | None = None,
        original_seq: int | None = None,
        placed: Place | None = None,
        levels: list[Level] | None = None,
    ) -> Report:
        """Build the report of a command. `placed` is the new order to report, accepted or refused, if any."""
        journal, bids, asks = self.journal, self.orders.bids, self.orders.asks
        seq = self.seq + 1
        orders = journal.take_states(seq, placed)
        if reason is not None and placed is not None:
            orders.append(refused_state(placed, reason))
        trades = journal.take_trades() if journal.trades else []
        if levels is None:
            levels = bids.take_changes() if bids.before else []
            if asks.before:
                levels += asks.take_changes()
        entries = len(orders) + len(trades) + len(levels)
        parts = 1 if entries <= MAX_ENTRIES_PER_PART else parts_of(entries)
        self.seq += parts
        word, identity, subject = _NAMES[type(command)]
        return _new(
            Report,
            (
                self.instrument,
                seq,
                self.offset,
                self.time_ms,
                self.engine_version,
                word,
                None if identity is None else command[identity],
                outcome,
                reason,
                None if subject is None else command[subject],
                original_seq,
                orders,
                trades,
                levels,
                None,
                None,
                None,
                None,
                None,
                1,
                parts,
            ),
        )

    # Questions

    @property
    def listing(self) -> Listing | None:
        """The rules in force; None before the first command."""
        return None if self._listing is _UNLISTED else self._listing

    @property
    def market_status(self) -> MarketStatus:
        return MarketStatus.HALTED if self.halted else MarketStatus.OPEN

    @property
    def trade_seq(self) -> int:
        return self.journal.trade_seq

    @property
    def open_orders(self) -> int:
        """How many orders rest or wait."""
        return len(self.orders.by_id)

    @property
    def next_expiry_ms(self) -> int | None:
        """The earliest expiry time of an open order."""
        return self.orders.next_expiry_ms()

    @property
    def waits_for_tick(self) -> bool:
        """Whether triggered stops run with the next command: if none comes, with a tick (R9)."""
        return self.orders.some_triggered and not self.halted

    @property
    def best_bid(self) -> int | None:
        return self.orders.bids.best_price

    @property
    def best_ask(self) -> int | None:
        return self.orders.asks.best_price

    def depth(self, levels: int) -> tuple[list[Level], list[Level]]:
        """The best levels of bids and asks, best first, as they are displayed."""
        return self.orders.bids.depth(levels), self.orders.asks.depth(levels)

    def id_block(self, number: int) -> Block:
        """A block of id records; a state snapshot leaves out the complete ones (`BookState.first_block`)."""
        return self.identities.block(number)


# The word for a command, and the positions of its own id and of the id of the order that it names.
_NAMES: dict[type, tuple[str, int | None, int | None]] = {kind: (word, 0, None) for kind, word in COMMAND_WORDS.items()}
_NAMES |= {kind: (COMMAND_WORDS[kind], 0, 2) for kind in (Cancel, Amend, Reduce, Replace)}
_NAMES |= {Place: (COMMAND_WORDS[Place], 0, 0), Tick: (COMMAND_WORDS[Tick], None, None)}
_UNLISTED = Listing("", "", "", 0, 0)
