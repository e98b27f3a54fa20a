"""`GET /markets/{instrument}/quality`: the figures of the book that the gateway has, and what it refuses."""

import asyncio
from decimal import Decimal

import pytest

from tests.until import until
from tests.web.conftest import Api

BOOK = (("buy", "99.00", "2"), ("buy", "98.50", "1"), ("sell", "101.00", "1"), ("sell", "102.00", "4"))


async def test_the_figures_are_those_of_the_book(api: Api, other_api: Api, market: str) -> None:
    """Each worked out by hand for four levels; the other gateway answers the same at the same seq."""
    for number, (side, price, quantity) in enumerate(BOOK):
        await api.place(instrument=market, side=side, price=price, quantity=quantity, client_id=f"c{number}")
    await api.place(instrument=market, client_id="taker", type="market", price=None, quantity="0.5")
    path = f"/markets/{market}/quality?size=2"
    seq = (await api("GET", f"/orderbook?instrument={market}")).body["seq"]
    # Postgres is milliseconds behind.
    found = await until(lambda: api("GET", path), lambda answer: answer.status == 200)
    body = found.body
    other = await until(lambda: other_api("GET", path), lambda answer: answer.status == 200)

    assert body["seq"] == seq and other.body == body
    assert (body["best_bid"], body["best_ask"], body["spread"]) == ("99.00", "101.00", "2.00")
    assert body["spread_bps"] == "200.0000"  # of a middle of 100
    assert [tuple(depth.values()) for depth in body["depth"]] == [
        (10, "0.0000", "0.0000"),
        (50, "0.0000", "0.0000"),
        (100, "2.0000", "0.5000"),
    ]
    assert body["imbalance"] == "-0.2000"  # (3 - 4.5) / 7.5
    # 0.5 at 101 and 1.5 at 102; 2 at 99
    assert body["cost"]["buy"] == {
        "quantity": "2.0000",
        "average_price": "101.75000000",
        "worst_price": "102.00",
        "slippage_bps": "175.0000",
    }
    assert body["cost"]["sell"]["slippage_bps"] == "100.0000"
    assert body["orders_to_trades"] == {"after_seq": 0, "orders": 5, "trades": 1, "ratio": "5.0000"}


async def test_a_size_that_the_book_does_not_have_is_cut(api: Api, market: str) -> None:
    """`quantity` says how much there is; a side without orders has nothing to cost."""
    await api.place(instrument=market, side="sell", price="101.00", quantity="3")
    path = f"/markets/{market}/quality?size=5"
    body = (await until(lambda: api("GET", path), lambda answer: answer.status == 200)).body

    assert (body["spread"], body["spread_bps"], body["depth"], body["imbalance"]) == (None, None, [], "-1.0000")
    buy, sell = body["cost"]["buy"], body["cost"]["sell"]
    assert Decimal(buy["quantity"]) == 3 and buy["slippage_bps"] is None
    assert sell == {"quantity": "0.0000", "average_price": None, "worst_price": None, "slippage_bps": None}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?size=x", 400, "malformed_request"),
        ("?size=-1", 400, "malformed_request"),
        ("?size=0", 422, "invalid_value"),
        ("?size=0.00005", 422, "invalid_value"),
        ("?levels=5", 400, "malformed_request"),
    ],
)
async def test_a_wrong_size_is_refused(api: Api, market: str, query: str, status: int, code: str) -> None:
    """As in every other call."""
    answer = await api("GET", f"/markets/{market}/quality{query}")
    assert (answer.status, answer.body["code"]) == (status, code)


async def test_an_unknown_market_is_404(api: Api) -> None:
    """Whatever else is asked."""
    answers = await asyncio.gather(*(api("GET", f"/markets/NO-SUCH/quality{query}") for query in ("", "?size=1")))
    assert {(answer.status, answer.body["code"]) for answer in answers} == {(404, "unknown_instrument")}
