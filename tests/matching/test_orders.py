"""Terms: most orders have plain ones, and share them."""

from typing import Any

import pytest

from app.matching.commands import Place
from app.matching.orders import PLAIN, Terms, terms_of
from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce

PLACE = Place(b"id", 1, "ann", "", Side.SELL, OrderType.LIMIT, 5, 100)
OLDEST, NEWEST = SelfTradePrevention.CANCEL_OLDEST, SelfTradePrevention.CANCEL_NEWEST


def test_plain_orders_share_their_terms() -> None:
    """So a book of a million orders holds ten of them; the mode is the market's or the order's own."""
    assert terms_of(PLACE, OLDEST) is PLAIN[Side.SELL, OLDEST]
    assert terms_of(PLACE._replace(side=Side.BUY, self_trade_prevention=NEWEST), OLDEST) is PLAIN[Side.BUY, NEWEST]
    assert terms_of(PLACE._replace(deadline_ms=1, price=7, quantity=8), OLDEST) is PLAIN[Side.SELL, OLDEST]
    assert len(PLAIN) == len(Side) * len(SelfTradePrevention)
    assert all(terms == Terms(side, OrderType.LIMIT, *PLACE[8:13], mode) for (side, mode), terms in PLAIN.items())


@pytest.mark.parametrize(
    "change",
    [
        {"type": OrderType.MARKET, "price": None},
        {"type": OrderType.STOP, "stop_price": 7},
        {"time_in_force": TimeInForce.IOC},
        {"display_quantity": 1},
        {"time_in_force": TimeInForce.GTD, "expire_time_ms": 9},
        {"post_only": True},
    ],
    ids=str,
)
def test_other_orders_have_terms_of_their_own(change: dict[str, Any]) -> None:
    """Each as it was asked for."""
    place = PLACE._replace(**change)
    terms = terms_of(place, OLDEST)
    asked = (place.side, place.type, *place[8:13])
    assert terms == Terms(*asked, OLDEST)
    assert terms not in PLAIN.values()
