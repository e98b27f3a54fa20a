"""The order of checks (docs/MATCHING.md) as tables of pairs: a command with two faults is refused for the earlier one.

A fault is what it changes in a good command; `halted` and `full` change the market instead. All run on both engines.
"""

from itertools import combinations
from typing import Any

import pytest

from app.matching.book import Book
from app.matching.commands import Amend, Halt, List, Listing, Moment, Place, Replace
from app.matching.events import Report
from app.matching.words import OrderType, Outcome, Reason, Side
from app.naive.matching import NaiveEngine

NOW_MS = 1_000
LISTING = Listing("X", "A", "B", 1, 1, min_price=50, max_price=150, max_quantity=100)
Fault = dict[str, Any]


def name(word: str) -> bytes:
    return word.encode().ljust(16)


def order(word: str, client: str, side: Side, price: int | None, **terms: Any) -> Place:
    return Place(name(word), 9, client, "", side, terms.pop("type", OrderType.LIMIT), 5, price, **terms)


# What is open: bob has an offer, a post-only offer and a stop without a price.
OPEN = (
    order("bid", "ann", Side.BUY, 100),
    order("offer", "bob", Side.SELL, 130),
    order("maker", "bob", Side.SELL, 140, post_only=True),
    order("stop", "bob", Side.SELL, None, type=OrderType.STOP, stop_price=60),
)
NEW = order("new", "bob", Side.SELL, 120)
REPLACE = Replace(name("k"), 1, name("offer"), NEW, "bob")
AMEND = Amend(name("k"), 1, name("maker"), "bob", 120, 5)

ORDER_FAULTS: dict[str, Fault] = {
    "market_closed": {"halted": True},
    "unsupported_order": {"expire_time_ms": NOW_MS + 1},
    "incorrect_quantity": {"quantity": 0},
    "invalid_price_increment": {"type": OrderType.STOP_LIMIT, "stop_price": 0},
    "price_band": {"price": 49},
    "stale_order": {"deadline_ms": NOW_MS - 1},
    "too_many_orders": {"full": True},
    "post_only_would_take": {"post_only": True, "price": 100},
}
# These two cannot be had in different fields.
TOGETHER = {("invalid_price_increment", "post_only_would_take"): {"price": 0, "post_only": True}}
PLACE_FAULTS: dict[str, Fault] = {"duplicate_order": {"order_id": name("list")}, **ORDER_FAULTS}
# Here a word after the reason tells faults with one reason apart, and the order's own faults are those of `new`.
REPLACE_FAULTS: dict[str, Fault] = {
    "duplicate_order": {"command_id": name("list")},
    "duplicate_order new": {"new_order_id": name("bid")},
    "unknown_order": {"order_id": name("none")},
    "unknown_order new": {"new_client_id": "cid"},
    **ORDER_FAULTS,
}
AMEND_FAULTS: dict[str, Fault] = {
    "duplicate_order": {"command_id": name("list")},
    "unknown_order": {"client_id": "ann"},
    "market_closed": {"halted": True},
    "unsupported_order": {"order_id": name("stop")},
    "incorrect_quantity": {"quantity": 101},
    "invalid_price_increment": {"price": 0},
    "price_band": {"price": 49},
    "post_only_would_take": {"price": 100},
}


def ones_and_pairs(faults: dict[str, Fault]) -> list[tuple[str, ...]]:
    """Each fault alone, so that it is one, and all pairs by precedence."""
    return [*((fault,) for fault in faults), *combinations(faults, 2)]


def combined(faults: dict[str, Fault], names: tuple[str, ...]) -> Fault:
    """All changes together; where two need the same field, the earlier's value has both faults."""
    changes: Fault = {}
    for fault in reversed(names):
        changes |= faults[fault]
    return changes


def reason_on(engine: Any, command: Any, halted: bool, full: bool) -> Reason | None:
    """Why a market refuses a command, which changes nothing."""
    report = report_on(engine, command, halted, full)
    assert report.outcome is Outcome.REJECTED and not report.trades and not report.levels
    return report.reason


def report_on(engine: Any, command: Any, halted: bool, full: bool) -> Report:
    """What a market says to a command."""
    sent = [
        List(name("list"), 0, LISTING),
        *OPEN,
        List(name("list again"), 0, LISTING._replace(max_open_orders=len(OPEN) - 1 if full else 100)),
    ]
    sent += [Halt(name("halt"), 0)] if halted else []
    for offset, earlier in enumerate(sent):
        assert engine.apply(earlier, Moment(offset, NOW_MS)).outcome is Outcome.ACCEPTED
    return engine.apply(command, Moment(len(sent), NOW_MS))  # type: ignore[no-any-return]


def assert_refused(command: Any, changes: Fault, names: tuple[str, ...]) -> None:
    """By the first of these faults, on both engines."""
    for engine in (Book("X"), NaiveEngine("X")):
        reason = reason_on(engine, command, changes.get("halted", False), changes.get("full", False))
        assert reason == names[0].split()[0], type(engine)


def fields_of(changes: Fault) -> Fault:
    return {field: value for field, value in changes.items() if field not in ("halted", "full")}


@pytest.mark.parametrize("names", ones_and_pairs(PLACE_FAULTS), ids=" before ".join)
def test_a_new_order_is_refused_for_its_first_fault(names: tuple[str, ...]) -> None:
    """Identity, market, combination, quantity, increment, band, deadline, limits, post-only."""
    changes = TOGETHER.get(names) or combined(PLACE_FAULTS, names)
    assert_refused(NEW._replace(**fields_of(changes)), changes, names)


@pytest.mark.parametrize("names", ones_and_pairs(REPLACE_FAULTS), ids=" before ".join)
def test_a_replacement_is_refused_for_its_first_fault(names: tuple[str, ...]) -> None:
    """Its key, the new order's, the order to replace, whose it is; then as a new order."""
    changes = TOGETHER.get(names) or combined(REPLACE_FAULTS, names)
    fields = fields_of(changes)
    own = {field: fields.pop(field) for field in ("command_id", "order_id") if field in fields}
    new = {field.removeprefix("new_"): value for field, value in fields.items()}
    assert_refused(REPLACE._replace(**own, new=NEW._replace(**new)), changes, names)


@pytest.mark.parametrize("names", ones_and_pairs(AMEND_FAULTS), ids=" before ".join)
def test_an_amend_is_refused_for_its_first_fault(names: tuple[str, ...]) -> None:
    """Its key, the order, then market, combination, quantity, increment, band, post-only."""
    changes = combined(AMEND_FAULTS, names)
    assert_refused(AMEND._replace(**fields_of(changes)), changes, names)


@pytest.mark.parametrize("fault", AMEND_FAULTS)
def test_a_total_that_is_filled_comes_before_the_check_of_the_quantity(fault: str) -> None:
    """After the combination (R6): what is refused for an earlier fault still is, any later one is not looked at."""
    names = list(AMEND_FAULTS)
    is_earlier = names.index(fault) < names.index("incorrect_quantity")
    changes = AMEND_FAULTS[fault] | {"quantity": 0}
    command = AMEND._replace(**fields_of(changes))
    for engine in (Book("X"), NaiveEngine("X")):
        if is_earlier:
            assert reason_on(engine, command, changes.get("halted", False), False) == fault, type(engine)
        else:
            report = report_on(engine, command, False, False)
            assert [state.reason for state in report.orders] == [Reason.CANCELED_BY_CLIENT], type(engine)
