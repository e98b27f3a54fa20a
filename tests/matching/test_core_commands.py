"""What a command means that does not say everything."""

from app.matching.commands import COMMAND_WORDS, NOT_REPRESENTABLE, Command, Listing, Place, Tick
from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce


def test_a_market_has_generous_rules_unless_it_is_told_others() -> None:
    """Prices and quantities up to 10^12, 1,000 fills a command, 100,000 open orders, ids for a day, and more."""
    assert Listing("X", "A", "B", 1, 1)._asdict() == {
        "instrument": "X",
        "base_asset": "A",
        "quote_asset": "B",
        "tick_size": 1,
        "lot_size": 1,
        "min_price": 1,
        "max_price": 1_000_000_000_000,
        "min_quantity": 1,
        "max_quantity": 1_000_000_000_000,
        "max_fills": 1_000,
        "max_open_orders": 100_000,
        "max_open_orders_per_client": 10_000,
        "self_trade_prevention": SelfTradePrevention.CANCEL_NEWEST,
        "id_window_count": 100_000,
        "id_window_ms": 24 * 60 * 60 * 1_000,
        "max_slices": 100,
        "quote_scale": 8,
    }


def test_an_order_is_a_plain_one_unless_it_says_otherwise() -> None:
    """Good till canceled, shown as a whole, with no deadline, in the market's self-trade mode; its id is its key."""
    order = Place(b"id", 1, "ann", "o1", Side.BUY, OrderType.LIMIT, 5, 100)
    assert order[8:] == (TimeInForce.GTC, None, None, None, False, None, None)
    assert order.command_id == b"id"


def test_every_command_has_a_word_and_all_but_a_tick_begin_with_identity_and_fingerprint() -> None:
    """The book reads them by their place."""
    assert set(COMMAND_WORDS) == set(Command.__args__)
    assert len(set(COMMAND_WORDS.values())) == len(COMMAND_WORDS)
    assert {kind._fields[:2] for kind in COMMAND_WORDS if kind not in (Place, Tick)} == {("command_id", "fingerprint")}
    assert Place._fields[:2] == ("order_id", "fingerprint")


def test_what_is_no_whole_number_of_ticks_or_lots_is_a_number_that_is_always_refused() -> None:
    """Below every limit that a market can have."""
    assert NOT_REPRESENTABLE == -1
