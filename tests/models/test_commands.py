"""Commands as JSON (app/models/commands.py) and in the core's terms (app/models/conversion.py)."""

import json
from typing import Any

import pytest

from app.matching import commands as core
from app.matching.words import OrderType, Side, TimeInForce
from app.models import identity
from app.models.commands import Genesis, ListInstrument, UndecodableCommand, decode_command, encode_command
from app.models.conversion import list_message, to_core
from app.models.decimals import Scale, units

SCALE = Scale(tick_size=units("0.01"), lot_size=units("0.001"))
PLACE = {
    "command": "place",
    "instrument": "BTC-USD",
    "client_id": "alice",
    "client_order_id": "k1",
    "side": "buy",
    "type": "limit",
    "price": "70000.10",
    "quantity": "1.5",
}
ORDER_ID = identity.id_text(identity.order_id("alice", "BTC-USD", "k1"))


def decoded(**fields: Any) -> core.Command:
    message = decode_command(json.dumps(fields).encode())
    assert not isinstance(message, Genesis)
    return to_core(message, SCALE)


def test_an_order_is_converted_to_ticks_and_lots() -> None:
    """Decimal strings outside, ints inside; the id is that of client, instrument and key."""
    order = decoded(**PLACE)

    assert isinstance(order, core.Place)
    assert (order.price, order.quantity) == (7_000_010, 1_500)
    assert (order.side, order.type, order.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.GTC)
    assert order.order_id == order.command_id == identity.order_id("alice", "BTC-USD", "k1")


def test_the_same_order_in_other_spellings_has_the_same_fingerprint() -> None:
    """`1.5` and `1.500`, defaults given or left out; another quantity is another order."""
    spellings = [{}, {"quantity": "1.500"}, {"price": "70000.1"}, {"time_in_force": "GTC"}, {"post_only": False}]
    prints = {decoded(**PLACE | change).fingerprint for change in spellings}

    assert len(prints) == 1
    assert decoded(**PLACE | {"quantity": "1.6"}).fingerprint not in prints


def test_a_price_on_a_market_order_is_ignored() -> None:
    """The reference's clients always send one."""
    with_price, without = decoded(**PLACE | {"type": "market"}), decoded(**PLACE | {"type": "market", "price": None})

    assert with_price == without
    assert with_price.price is None
    with pytest.raises(UndecodableCommand):
        decoded(**PLACE | {"type": "market", "price": "abc"})


def test_a_price_on_a_stop_order_is_part_of_it_unless_the_log_is_an_old_one() -> None:
    """So the engine refuses it; under engine version 1 it was passed over, whatever it said."""
    stop = PLACE | {"type": "stop", "stop_price": "5"}
    assert (decoded(**stop).price, decoded(**stop | {"price": None}).price) == (7_000_010, None)
    assert decoded(**stop).fingerprint != decoded(**stop | {"price": None}).fingerprint
    for type_ in ("stop", "market"):
        odd = decode_command(json.dumps(PLACE | {"type": type_, "price": "abc"}).encode())
        plain = decode_command(json.dumps(PLACE | {"type": type_, "price": None}).encode())
        assert to_core(odd, SCALE, strictly=False) == to_core(plain, SCALE)  # type: ignore[arg-type]


def test_what_an_older_listing_could_not_say_is_not_in_its_fingerprint() -> None:
    """A `list` of an old log, sent once more by a later release, is the same command (R15)."""
    old = {"command": "list", "instrument": "BTC-USD"} | LISTED
    in_the_first_release = 6185342356300864123
    assert decoded(**old).fingerprint == decoded(**old | {"max_slices": 100}).fingerprint == in_the_first_release


def test_off_tick_and_off_lot_are_passed_on_for_the_book_to_refuse() -> None:
    """A "no" is the book's, with a reason, and it consumes the key."""
    order = decoded(**PLACE | {"price": "70000.001", "quantity": "0.0001"})

    assert (order.price, order.quantity) == (core.NOT_REPRESENTABLE, core.NOT_REPRESENTABLE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'"text"',
        b"{" * 100_000,
        json.dumps(PLACE | {"command": "dance"}).encode(),
        json.dumps(PLACE | {"quantity": 1.5}).encode(),
        json.dumps(PLACE | {"quantity": "1e5"}).encode(),
        json.dumps(PLACE | {"quantity": "-1"}).encode(),
        json.dumps(PLACE | {"price": "NaN"}).encode(),
        json.dumps(PLACE | {"side": "BUY"}).encode(),
        json.dumps(PLACE | {"client_id": "a b"}).encode(),
        json.dumps(PLACE | {"client_id": "a\n"}).encode(),
        json.dumps(PLACE | {"client_id": "x" * 65}).encode(),
        json.dumps(PLACE | {"surprise": 1}).encode(),
        json.dumps({k: v for k, v in PLACE.items() if k != "client_order_id"}).encode(),
        json.dumps({"command": "cancel", "instrument": "BTC-USD", "command_id": "c", "order_id": "x" * 36}).encode(),
        json.dumps(PLACE | {"command": "list"}).encode(),
    ],
)
def test_what_is_no_command_is_undecodable(value: bytes | None) -> None:
    """One exception for all of it; the engine reports it under the partition's reserved instrument."""
    with pytest.raises(UndecodableCommand):
        message = decode_command(value)
        assert not isinstance(message, Genesis)
        to_core(message, SCALE)


@pytest.mark.parametrize(
    "change",
    [
        {"tick_size": "0"},
        {"lot_size": "0"},
        {"min_price": "0.005"},
        {"max_quantity": "0"},
        {"instrument": "_partition-1"},
        {"max_fills": 0},
        {"max_slices": 0},
    ],
)
def test_impossible_rules_of_a_market_are_undecodable(change: dict[str, Any]) -> None:
    """Sizes are positive, limits whole ticks or lots, names beginning with `_` are ours."""
    listing = {"command": "list", "instrument": "X-Y", "command_id": "l", "base_asset": "X", "quote_asset": "Y"}
    with pytest.raises(UndecodableCommand):
        decoded(**listing | {"tick_size": "0.01", "lot_size": "1"} | change)


def test_a_listing_survives_its_message() -> None:
    """What a book knows of its market can be said again, limits and all."""
    listing = core.Listing("X-Y", "X", "Y", units("25"), units("0.001"), 2, 1_000, 3, 4_000, 5, 6, 7, max_slices=8)
    message = list_message(listing, "l1")

    assert isinstance(message, ListInstrument)
    command = to_core(decode_command(encode_command(message)), None)
    assert isinstance(command, core.List)
    assert command.listing == listing


@pytest.mark.parametrize(
    ("fields", "type_"),
    [
        ({"command": "cancel", "order_id": ORDER_ID, "command_id": "c"}, core.Cancel),
        ({"command": "amend", "order_id": ORDER_ID, "command_id": "c", "price": "1"}, core.Amend),
        ({"command": "reduce", "order_id": ORDER_ID, "command_id": "c", "quantity": "1"}, core.Reduce),
        (PLACE | {"command": "replace", "order_id": ORDER_ID, "command_id": "c"}, core.Replace),
        ({"command": "mass_cancel", "command_id": "c", "client_id": "alice"}, core.MassCancel),
        ({"command": "halt", "command_id": "c"}, core.Halt),
        ({"command": "resume", "command_id": "c"}, core.Resume),
        ({"command": "snapshot", "command_id": "c"}, core.Snapshot),
        ({"command": "engine_version", "command_id": "c", "version": 1}, core.EngineVersion),
        ({"command": "tick"}, core.Tick),
    ],
)
def test_every_command_has_its_shape(fields: dict[str, Any], type_: type) -> None:
    """Each word of the wire becomes its command; the word is the core's."""
    command = decoded(**{"instrument": "BTC-USD"} | fields)

    assert isinstance(command, type_)
    assert core.COMMAND_WORDS[type_] == fields["command"]


FULL_ORDER = {
    "order_id": ORDER_ID,
    "command_id": "c",
    "client_id": "alice",
    "client_order_id": "k1",
    "side": "buy",
    "type": "stop_limit",
    "price": "5",
    "quantity": "1",
    "stop_price": "4",
}
LISTED = {"command_id": "c", "base_asset": "BTC", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.001"}
# Each command with the fields that its key does not consist of, and another value for each of them.
CONTENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "place": (
        {key: value for key, value in FULL_ORDER.items() if key not in ("order_id", "command_id")},
        {
            "side": "sell",
            "type": "limit",
            "price": "6",
            "quantity": "2",
            "stop_price": "3",
            "time_in_force": "IOC",
            "display_quantity": "1",
            "expire_time": 1,
            "post_only": True,
            "self_trade_prevention": "none",
            "deadline": 1,
        },
    ),
    "cancel": ({"order_id": ORDER_ID, "command_id": "c"}, {"order_id": "0" * 8 + ORDER_ID[8:]}),
    "amend": (
        {"order_id": ORDER_ID, "command_id": "c", "price": "1", "quantity": "1"},
        {"order_id": "0" * 8 + ORDER_ID[8:], "price": "2", "quantity": "2"},
    ),
    "reduce": (
        {"order_id": ORDER_ID, "command_id": "c", "quantity": "1"},
        {"order_id": "0" * 8 + ORDER_ID[8:], "quantity": "2"},
    ),
    "mass_cancel": ({"command_id": "c", "side": "buy"}, {"side": "sell"}),
    "list": (
        LISTED,
        {
            "base_asset": "ETH",
            "quote_asset": "EUR",
            "tick_size": "0.02",
            "lot_size": "0.002",
            "min_price": "1",
            "max_price": "2",
            "min_quantity": "1",
            "max_quantity": "2",
            "max_fills": 7,
            "max_open_orders": 7,
            "max_open_orders_per_client": 7,
            "self_trade_prevention": "none",
            "id_window_count": 7,
            "id_window_ms": 7,
            "max_slices": 7,
        },
    ),
    "engine_version": ({"command_id": "c", "version": 1}, {"version": 2}),
}
CONTENTS["replace"] = (
    FULL_ORDER,
    CONTENTS["place"][1] | {"order_id": "0" * 8 + ORDER_ID[8:], "client_order_id": "k2"},
)


@pytest.mark.parametrize("word", CONTENTS)
def test_whatever_else_a_command_says_is_in_its_fingerprint(word: str) -> None:
    """So one key with two contents is noticed, whichever field they differ in."""
    fields, others = CONTENTS[word]
    command = {"command": word, "instrument": "BTC-USD"} | fields
    fingerprints = {
        decoded(**command).fingerprint,
        *(decoded(**command | {k: v}).fingerprint for k, v in others.items()),
    }
    assert len(fingerprints) == 1 + len(others)
    ids = {decoded(**command).command_id, *(decoded(**command | {k: v}).command_id for k, v in others.items())}
    assert len(ids) == 1, "the key is the same"
