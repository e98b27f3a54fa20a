"""The flow for people to look at: the same for a seed, of orders that a venue takes, with bounded books."""

from collections import Counter
from decimal import Decimal
from itertools import islice

from app.instruments import DEFAULTS
from load.market_makers import MOST_QUOTES, SHAPES, opening, steps

ALL = frozenset(shape.instrument for shape in SHAPES)
LISTED = {listing.instrument: listing for listing in DEFAULTS}
STEPS = 5_000


def test_the_same_seed_gives_the_same_flow() -> None:
    """And another one another."""
    first, again, other = (list(islice(steps(seed, ALL, "t"), 300)) for seed in (7, 7, 8))
    assert first == again != other
    assert opening(7, ALL, "t") == opening(7, ALL, "t")


def test_every_order_fits_its_instrument() -> None:
    """Ticks and lots of the instruments that a new venue lists, each key once, prices that stay in reach."""
    keys = set()
    for step in [*opening(1, ALL, "t"), *islice(steps(1, ALL, "t"), STEPS)]:
        for order in step.places:
            listing, shape = LISTED[order["instrument"]], next(s for s in SHAPES if s.instrument == order["instrument"])
            assert Decimal(order["quantity"]) > 0 and Decimal(order["quantity"]) % Decimal(listing.lot_size) == 0
            if order["type"] == "limit":
                price, first = Decimal(order["price"]), Decimal(shape.price).scaleb(-shape.price_decimals)
                assert price % Decimal(listing.tick_size) == 0
                assert first / 3 < price < first * 3
            keys.add((order["client_id"], order["instrument"], order["client_order_id"]))
    assert len(keys) > STEPS


def test_quotes_are_canceled_so_that_books_stay_small() -> None:
    """Whatever is not traded: of each client and side only the latest stay."""
    open_orders: Counter[str] = Counter()
    for step in islice(steps(3, ALL, "t"), STEPS):
        for order in step.places:
            open_orders[order["instrument"]] += order["type"] == "limit"
        for key in step.cancels:
            open_orders[key.split()[1]] -= 1
        assert max(open_orders.values()) <= 2 * MOST_QUOTES + 10
    assert sum(open_orders.values()) > 100


def test_only_what_is_listed_is_traded() -> None:
    """A venue may have other instruments."""
    flow = islice(steps(1, frozenset(("BTC-USD", "ABC-DEF")), "t"), 100)
    assert {order["instrument"] for step in flow for order in step.places} == {"BTC-USD"}
    assert list(steps(1, frozenset(), "t")) == []
