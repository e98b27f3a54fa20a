"""Whatever is asked of a market, in whatever order: the book and the naive engine report the same.

`MATCHSTREAM_LONG=1 pytest tests/matching/test_properties.py` tries 10,000 markets instead of a few.
"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from app.matching.commands import (
    NOT_REPRESENTABLE,
    Amend,
    Bust,
    Cancel,
    ClientRates,
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
from app.matching.events import Report
from app.matching.fees import MAX_RATE
from app.matching.versions import NEWEST_VERSION
from app.matching.words import OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from tests.long import LONG
from tests.matching.pair import Pair
from tests.matching.streams import INSTRUMENT, commands

EXAMPLES, STREAMS = (10_000, 2_000) if LONG else (60, 40)
COMMANDS_PER_STREAM = 200
FIRST_EXPIRY_MS = 1_000

CLIENTS = st.sampled_from(("ann", "bob", "cid"))
SIDES = st.sampled_from(Side)
MODES = st.sampled_from(SelfTradePrevention)
PRICES = st.integers(97, 103)
# Mostly sensible numbers, and now and then one that must be refused.
QUANTITIES = st.integers(1, 9) | st.sampled_from((NOT_REPRESENTABLE, 0, 10**13))
ODD_PRICES = PRICES | PRICES | PRICES | st.sampled_from((NOT_REPRESENTABLE, 0, 1, 10**13))
TIMES = st.integers(FIRST_EXPIRY_MS, FIRST_EXPIRY_MS + 60)
STEPS = st.sampled_from((1, 0, 0, 0, 3, 40, -5))


def or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


# By type: which of price and stop price it has.
PRICED = {
    OrderType.LIMIT: (True, False),
    OrderType.MARKET: (False, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}
# One rule of a market changed; some are refused.
RULES = st.sampled_from(
    [
        (name, value)
        for name, values in {
            "min_price": (99, 0),
            "max_price": (102, 1),
            "min_quantity": (2, 0),
            "max_quantity": (5, 1),
            "max_fills": (1, 2, 3, 0),
            "max_slices": (1, 3, 0),
            "max_open_orders": (1, 4, -1),
            "max_open_orders_per_client": (1, 2, -1),
            "self_trade_prevention": tuple(SelfTradePrevention),
            "id_window_count": (0, 1, 5, -1),
            "id_window_ms": (0, 3, -1),
            "instrument": ("X",),
            "base_asset": ("X",),
            "quote_asset": ("X",),
            "tick_size": (2, 0),
            "lot_size": (2, 0),
            "quote_scale": (7, 9, -1),
        }.items()
        for value in values
    ]
)
# Any parts at all: few of these belong together.
ODD_TERMS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(OrderType),
        "time_in_force": st.sampled_from(TimeInForce),
        "price": or_none(ODD_PRICES),
        "stop_price": or_none(ODD_PRICES),
        "display_quantity": or_none(QUANTITIES),
        "expire_time_ms": or_none(TIMES),
        "post_only": st.booleans(),
    }
)


@st.composite
def proper_terms(draw: st.DrawFn) -> dict[str, Any]:
    """Parts that belong together."""
    type_ = draw(st.sampled_from((OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT, *OrderType)))
    forces = [force for force in TimeInForce if type_ is not OrderType.MARKET or force is not TimeInForce.GTD]
    force = draw(st.sampled_from((TimeInForce.GTC, *forces)))
    has_price, has_stop = PRICED[type_]
    lasts = type_ is OrderType.LIMIT and force in (TimeInForce.GTC, TimeInForce.GTD)
    return {
        "type": type_,
        "time_in_force": force,
        "price": draw(PRICES) if has_price else None,
        "stop_price": draw(PRICES) if has_stop else None,
        "display_quantity": draw(st.sampled_from((None, None, 1, 2))) if lasts else None,
        "expire_time_ms": draw(TIMES) if force is TimeInForce.GTD else None,
        "post_only": lasts and draw(st.sampled_from((False, False, False, True))),
    }


TERMS = proper_terms() | proper_terms() | proper_terms() | ODD_TERMS
LISTING = Listing(INSTRUMENT, "BTC", "USD", 10**6, 10**7, quote_scale=3)
LISTINGS = st.lists(RULES, max_size=2).map(lambda changes: LISTING._replace(**dict(changes)))
RATES = st.integers(-999, 999) | st.sampled_from((MAX_RATE, -MAX_RATE, MAX_RATE + 1, -MAX_RATE - 1))
SCHEDULES = st.builds(
    lambda maker, taker, clients: FeeSchedule(maker, taker, tuple(ClientRates(*own) for own in clients)),
    RATES,
    RATES,
    st.lists(st.tuples(CLIENTS, RATES, RATES), max_size=2, unique_by=lambda own: own[0]).map(sorted),
)
# What is asked of the market as a whole, without the identity.
RARE = (
    st.tuples(st.just(MassCancel), or_none(CLIENTS), or_none(SIDES))
    | st.tuples(st.just(List), LISTINGS)
    | st.tuples(st.just(List), LISTINGS)
    | st.tuples(st.sampled_from((Halt, Resume, Snapshot)))
    | st.tuples(st.just(EngineVersion), st.sampled_from((1, 2, 3, 3, 0, 4)))
    | st.tuples(st.just(Bust), st.integers(0, 9), st.just("an error"))
    | st.tuples(st.just(Bust), st.integers(0, 9), st.just("an error"))
    | st.tuples(st.just(SetFees), SCHEDULES)
    | st.tuples(st.just(SetFees), SCHEDULES)
)
NTH = st.integers(0, 7) | st.integers(0, 7) | st.none()


def assert_fills_are_shared_fairly(report: Report, max_fills: int) -> None:
    """A command does a bounded number of fills, and nobody ends for those that others have done."""
    assert len(report.trades) <= 2 * max_fills, "stops that waited have as many as the command itself"
    taken = Counter(trade.taker_order_id for trade in report.trades)
    for state in report.orders:
        assert state.reason is not Reason.MAX_FILLS or taken[state.order_id] == max_fills, f"{state} had fewer fills"


class Market(RuleBasedStateMachine):
    """One market; each rule is a command, or a restart."""

    orders: Bundle[Place] = Bundle("orders")  # that were placed, whatever became of them
    sent: Bundle[Command] = Bundle("sent")  # that have a key

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(INSTRUMENT)
        self.time_ms = FIRST_EXPIRY_MS - 10
        self.offset = 0
        self.keys = 0

    def identity(self) -> tuple[bytes, int]:
        self.keys += 1
        return self.keys.to_bytes(16, "big"), self.keys

    def send(self, command: Command, step: int = 1) -> Command:
        """Carry it out so many milliseconds after the one before; a halted market is soon resumed."""
        self.offset += 1
        self.time_ms += step
        listing, version = self.pair.book.listing, self.pair.book.engine_version
        report = self.pair.apply(command, Moment(self.offset, self.time_ms))
        if listing is not None and version == report.engine_version == NEWEST_VERSION:
            assert_fills_are_shared_fairly(report, listing.max_fills)
        if self.pair.book.halted and self.offset % 4 == 0:
            self.offset += 1
            self.pair.apply(Resume(*self.identity()), Moment(self.offset, self.time_ms))
        return command

    def new(self, client_id: str, side: Side, quantity: int, terms: dict[str, Any], **more: Any) -> Place:
        return Place(*self.identity(), client_id, "", side, quantity=quantity, **terms, **more)

    @initialize(target=sent, mode=MODES, max_fills=st.sampled_from((1_000, 1_000, 3)))
    def open_market(self, mode: SelfTradePrevention, max_fills: int) -> Command:
        listing = LISTING._replace(self_trade_prevention=mode, max_fills=max_fills)
        return self.send(List(*self.identity(), listing))

    @rule(targets=(orders, sent), side=SIDES, prices=st.lists(PRICES, min_size=1, max_size=4), of_one=st.booleans())
    def place_some(self, side: Side, prices: list[int], of_one: bool) -> Any:
        """Plain orders on one side, of as many clients or of one."""
        clients = ("ann",) if of_one else ("ann", "bob", "cid")
        plain = {"type": OrderType.LIMIT}
        return multiple(
            *(
                self.send(self.new(clients[number % len(clients)], side, 3 + number, plain | {"price": price}))
                for number, price in enumerate(prices)
            )
        )

    @rule(targets=(orders, sent), client=CLIENTS, side=SIDES, quantity=st.integers(1, 9), terms=TERMS, step=STEPS)
    def place(self, client: str, side: Side, quantity: int, terms: dict[str, Any], step: int) -> Command:
        return self.send(self.new(client, side, quantity, terms), step)

    @rule(targets=(orders, sent), client=CLIENTS, side=SIDES, quantity=st.integers(5, 20), terms=proper_terms())
    def place_a_large_one(self, client: str, side: Side, quantity: int, terms: dict[str, Any]) -> Command:
        return self.send(self.new(client, side, quantity, terms))

    @rule(
        targets=(orders, sent),
        client=CLIENTS,
        side=SIDES,
        quantity=QUANTITIES,
        terms=TERMS,
        mode=or_none(MODES),
        deadline=or_none(TIMES),
    )
    def place_oddly(
        self,
        client: str,
        side: Side,
        quantity: int,
        terms: dict[str, Any],
        mode: SelfTradePrevention | None,
        deadline: int | None,
    ) -> Command:
        return self.send(self.new(client, side, quantity, terms, self_trade_prevention=mode, deadline_ms=deadline))

    def target(self, order: Place, nth: int | None) -> Place:
        """The nth open order, if any is open; None: this one, whatever became of it."""
        open_orders = self.pair.naive.open_orders_list()
        if nth is None or not open_orders:
            return order
        return self.pair.reader.terms[open_orders[nth % len(open_orders)].order_id]

    @rule(target=sent, order=orders, nth=NTH, asker=or_none(CLIENTS))
    def cancel(self, order: Place, nth: int | None, asker: str | None) -> Command:
        return self.send(Cancel(*self.identity(), self.target(order, nth).order_id, asker))

    @rule(target=sent, order=orders, nth=NTH, price=or_none(ODD_PRICES), quantity=or_none(QUANTITIES), step=STEPS)
    def amend(self, order: Place, nth: int | None, price: int | None, quantity: int | None, step: int) -> Command:
        order = self.target(order, nth)
        return self.send(Amend(*self.identity(), order.order_id, order.client_id, price, quantity), step)

    @rule(target=sent, order=orders, nth=NTH, quantity=QUANTITIES, asker=or_none(CLIENTS))
    def reduce(self, order: Place, nth: int | None, quantity: int, asker: str | None) -> Command:
        return self.send(Reduce(*self.identity(), self.target(order, nth).order_id, quantity, asker))

    @rule(target=sent, order=orders, nth=NTH, side=SIDES, quantity=QUANTITIES, terms=TERMS)
    def replace(self, order: Place, nth: int | None, side: Side, quantity: int, terms: dict[str, Any]) -> Command:
        order = self.target(order, nth)
        new = self.new(order.client_id, side, quantity, terms)
        return self.send(Replace(*self.identity(), order.order_id, new, order.client_id))

    @rule(target=sent, command=RARE, step=STEPS)
    def operate(self, command: Any, step: int) -> Command:
        kind, *rest = command
        return self.send(kind(*self.identity(), *rest), step)

    @rule(step=STEPS)
    def tick(self, step: int) -> None:
        self.send(Tick(), step)

    @rule(command=sent, of_order=st.booleans(), step=STEPS)
    def repeat(self, command: Command, of_order: bool, step: int) -> None:
        """The same again; of a replacement also its new order by itself."""
        self.send(command.new if of_order and isinstance(command, Replace) else command, step)

    @rule(command=sent, order=orders, of_order=st.booleans())
    def use_a_key_again(self, command: Any, order: Place, of_order: bool) -> None:
        """For the same command with another body, or for an order."""
        other = order._replace(order_id=command.command_id) if of_order else command
        self.send(other._replace(fingerprint=self.identity()[1]))

    @rule(target=sent, order=orders, nth=NTH, other=sent, asker=or_none(CLIENTS), key=or_none(sent))
    def replace_strangely(self, order: Place, nth: int | None, other: Any, asker: str | None, key: Any) -> Command:
        """By a key that is in use, as someone else, or what is no order at all."""
        order = self.target(order, nth)
        new = order._replace(order_id=other.command_id, client_id=asker or order.client_id)
        identity = (key.command_id, self.identity()[1]) if key else self.identity()
        return self.send(Replace(*identity, other.command_id if asker == "cid" else order.order_id, new, asker))

    @rule()
    def restart(self) -> None:
        self.pair.restart()

    def teardown(self) -> None:
        if self.pair.naive.seq:
            self.pair.check()


def test_the_book_reports_what_the_naive_engine_reports() -> None:
    """Any commands in any order, restarts between them, all invariants after each."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Market,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize=not LONG,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(STREAMS))
def test_a_stream_gives_the_same_on_both_engines(seed: int) -> None:
    """Longer histories, in which much is open: large reports, short windows, small limits."""
    pair = Pair(INSTRUMENT)
    for command, at in commands(seed, COMMANDS_PER_STREAM):
        pair.apply(command, at)
    pair.check()
