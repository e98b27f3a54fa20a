"""Whatever is asked of a market, in whatever order: the book and the naive engine report the same.

`MATCHSTREAM_LONG=1 pytest tests/matching/test_properties.py` tries 10,000 markets instead of a few.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from app.matching.commands import (
    NOT_REPRESENTABLE,
    Amend,
    Cancel,
    Command,
    EngineVersion,
    Halt,
    List,
    Listing,
    MassCancel,
    Moment,
    Place,
    Reduce,
    Replace,
    Resume,
    Snapshot,
    Tick,
)
from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce
from tests.matching.pair import Pair
from tests.matching.streams import INSTRUMENT, commands

LONG = bool(os.environ.get("MATCHSTREAM_LONG"))
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
LISTINGS = st.builds(
    Listing,
    instrument=st.just(INSTRUMENT),
    base_asset=st.just("BTC"),
    quote_asset=st.just("USD"),
    tick_size=st.just(1),
    lot_size=st.just(1),
    min_price=st.sampled_from((1, 1, 1, 99, 0)),
    max_price=st.sampled_from((10**12, 10**12, 102, 1)),
    min_quantity=st.sampled_from((1, 1, 2, 0)),
    max_quantity=st.sampled_from((10**12, 10**12, 5, 1)),
    max_fills=st.sampled_from((1_000, 1_000, 1, 2, 3, 0)),
    max_open_orders=st.sampled_from((1_000, 1_000, 1, 4, -1)),
    max_open_orders_per_client=st.sampled_from((1_000, 1_000, 1, 2, -1)),
    self_trade_prevention=MODES,
    id_window_count=st.sampled_from((100_000, 100_000, 0, 1, 5, -1)),
    id_window_ms=st.sampled_from((86_400_000, 86_400_000, 0, 3, -1)),
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
        self.offset += 1
        self.time_ms += step
        self.pair.apply(command, Moment(self.offset, self.time_ms))
        return command

    def new(self, client_id: str, side: Side, quantity: int, terms: dict[str, Any], **more: Any) -> Place:
        return Place(*self.identity(), client_id, "", side, quantity=quantity, **terms, **more)

    @initialize(target=sent, mode=MODES, max_fills=st.sampled_from((1_000, 3)))
    def open_market(self, mode: SelfTradePrevention, max_fills: int) -> Command:
        rules = {"self_trade_prevention": mode, "max_fills": max_fills}
        return self.send(List(*self.identity(), Listing(INSTRUMENT, "BTC", "USD", 1, 1, **rules)))

    @rule(targets=(orders, sent), client=CLIENTS, side=SIDES, quantity=st.integers(1, 9), terms=TERMS, step=STEPS)
    def place(self, client: str, side: Side, quantity: int, terms: dict[str, Any], step: int) -> Command:
        return self.send(self.new(client, side, quantity, terms), step)

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
        odd = self.new(client, side, quantity, terms, self_trade_prevention=mode, deadline_ms=deadline)
        return self.send(odd)

    @rule(target=sent, order=orders, asker=or_none(CLIENTS))
    def cancel(self, order: Place, asker: str | None) -> Command:
        return self.send(Cancel(*self.identity(), order.order_id, asker))

    @rule(target=sent, order=orders, price=or_none(ODD_PRICES), quantity=or_none(QUANTITIES), step=STEPS)
    def amend(self, order: Place, price: int | None, quantity: int | None, step: int) -> Command:
        return self.send(Amend(*self.identity(), order.order_id, order.client_id, price, quantity), step)

    @rule(
        target=sent, order=orders, price=or_none(PRICES), quantity=or_none(st.integers(1, 12)), asker=or_none(CLIENTS)
    )
    def amend_as_anyone(self, order: Place, price: int | None, quantity: int | None, asker: str | None) -> Command:
        return self.send(Amend(*self.identity(), order.order_id, asker, price, quantity))

    @rule(target=sent, order=orders, quantity=QUANTITIES, asker=or_none(CLIENTS))
    def reduce(self, order: Place, quantity: int, asker: str | None) -> Command:
        return self.send(Reduce(*self.identity(), order.order_id, quantity, asker))

    @rule(targets=(orders, sent), order=orders, client=or_none(CLIENTS), side=SIDES, quantity=QUANTITIES, terms=TERMS)
    def replace(self, order: Place, client: str | None, side: Side, quantity: int, terms: dict[str, Any]) -> Any:
        new = self.new(client or order.client_id, side, quantity, terms)
        replacing = Replace(*self.identity(), order.order_id, new, client)
        self.send(replacing)
        return multiple(new, replacing)

    @rule(target=sent, client=or_none(CLIENTS), side=or_none(SIDES))
    def mass_cancel(self, client: str | None, side: Side | None) -> Command:
        return self.send(MassCancel(*self.identity(), client, side))

    @rule(target=sent, listing=LISTINGS)
    def list(self, listing: Listing) -> Command:
        return self.send(List(*self.identity(), listing))

    @rule(target=sent, change=st.sampled_from(({"instrument": "X"}, {"base_asset": "X"}, {"tick_size": 2})))
    def list_something_else(self, change: dict[str, Any]) -> Command:
        return self.send(List(*self.identity(), Listing(INSTRUMENT, "BTC", "USD", 1, 1)._replace(**change)))

    @rule(target=sent)
    def halt(self) -> Command:
        return self.send(Halt(*self.identity()))

    @rule(target=sent)
    def resume(self) -> Command:
        return self.send(Resume(*self.identity()))

    @rule(target=sent)
    def snapshot(self) -> Command:
        return self.send(Snapshot(*self.identity()))

    @rule(target=sent, version=st.sampled_from((1, 0, 2)))
    def engine_version(self, version: int) -> Command:
        return self.send(EngineVersion(*self.identity(), version))

    @rule(step=STEPS)
    def tick(self, step: int) -> None:
        self.send(Tick(), step)

    @rule(command=sent, step=STEPS)
    def repeat(self, command: Command, step: int) -> None:
        self.send(command, step)

    @rule(order=orders, step=STEPS)
    def place_again(self, order: Place, step: int) -> None:
        """Also what came as a replacement."""
        self.send(order, step)

    @rule(command=sent)
    def use_the_key_for_something_else(self, command: Any) -> None:
        self.send(command._replace(fingerprint=command.fingerprint + 1))

    @rule(targets=(orders, sent), command=sent, order=orders)
    def use_the_key_for_an_order(self, command: Any, order: Place) -> Command:
        return self.send(order._replace(order_id=command.command_id, fingerprint=self.identity()[1]))

    @rule(target=sent, order=orders, other=orders, key=or_none(sent))
    def replace_by_a_known_id(self, order: Place, other: Place, key: Any) -> Command:
        identity = (key.command_id, self.identity()[1]) if key else self.identity()
        return self.send(Replace(*identity, order.order_id, other._replace(client_id=order.client_id)))

    @rule(target=sent, command=sent)
    def cancel_what_is_no_order(self, command: Any) -> Command:
        return self.send(Cancel(*self.identity(), command.command_id))

    @rule()
    def restart(self) -> None:
        self.pair.restart()

    def teardown(self) -> None:
        if self.pair.oracle.seq:
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
