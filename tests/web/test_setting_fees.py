"""Fees and busts over HTTP: set, shown, charged to orders, and what is refused."""

from typing import Any
from uuid import uuid4

import pytest

from tests.web.conftest import Api, until

RATES = {"maker": "-1.5", "taker": "25", "clients": {"dora": {"maker": "0", "taker": "0.01"}}}
SHOWN = {"maker": "-1.50", "taker": "25.00", "clients": {"dora": {"maker": "0", "taker": "0.01"}}}


async def traded(api: Api, market: str) -> tuple[dict[str, Any], str]:
    """A taker's order after its trade, and the trade's id."""
    await api.place(instrument=market, side="sell", price="100.00", quantity="2", client_id="carl")
    taker = await api.place(instrument=market, side="buy", price="100.00", quantity="2", client_id="dana")
    path = f"/orders/{taker.body['order_id']}"
    order = await until(lambda: api("GET", path), lambda answer: answer.body["status"] == "filled")
    trades = await until(lambda: api("GET", f"/trades?instrument={market}"), lambda answer: answer.body)
    return order.body, trades.body[0]["trade_id"]


async def test_a_new_market_is_free_until_rates_are_set(api: Api, other_api: Api, market: str) -> None:
    """Either gateway shows them then; the first list has zeros and no seq."""
    free = {"instrument": market, "maker": "0", "taker": "0", "clients": {}, "seq": None}
    assert free in (await api("GET", "/fees")).body
    put = await api("PUT", f"/instruments/{market}/fees", RATES)
    assert (put.status, put.body) == (200, {"instrument": market, **SHOWN, "seq": 2})
    await until(lambda: other_api("GET", "/fees"), lambda answer: put.body in answer.body)


async def test_an_order_shows_what_it_has_paid_wherever_it_is_asked_for(api: Api, market: str) -> None:
    """25 bp of 200.00, and the maker's rebate; in the order, its events and lists, from memory and from Postgres."""
    await api("PUT", f"/instruments/{market}/fees", RATES)
    order, _ = await traded(api, market)

    assert order["fees"] == "0.50000000"
    path = f"/orders/{order['order_id']}/events"
    events = await until(lambda: api("GET", path), lambda answer: answer.body)
    assert [event["fees"] for event in events.body] == ["0.50000000"]
    listed = await api("GET", f"/orders?instrument={market}&limit=2")
    assert [found["fees"] for found in listed.body] == ["0.50000000", "-0.03000000"]


async def test_a_repeat_of_new_rates_changes_nothing(api: Api, market: str) -> None:
    """It gets the first answer, although other rates hold by now; another body under its key is refused."""
    path, key = f"/instruments/{market}/fees", {"Idempotency-Key": str(uuid4())}
    first = await api("PUT", path, RATES, headers=key)
    other = await api("PUT", path, {"maker": "1", "taker": "1"})
    again = await api("PUT", path, RATES, headers=key)
    refused = await api("PUT", path, {"maker": "2", "taker": "2"}, headers=key)

    assert (again.status, again.body) == (200, first.body)
    assert (refused.status, refused.body["code"]) == (422, "duplicate_order")
    assert other.body in (await api("GET", "/fees")).body


@pytest.mark.parametrize(
    ("rates", "status", "code"),
    [
        ({"maker": "1"}, 400, "malformed_request"),
        ({"maker": "1", "taker": 2}, 400, "malformed_request"),
        ({"maker": "1", "taker": "0.001"}, 400, "malformed_request"),
        ({"maker": "1", "taker": "+1"}, 400, "malformed_request"),
        ({"maker": "1", "taker": "1", "clients": {"a b": {"maker": "1", "taker": "1"}}}, 400, "malformed_request"),
        ({"maker": "1", "taker": "10000.01"}, 422, "invalid_fees"),
        ({"maker": "-10000.01", "taker": "1"}, 422, "invalid_fees"),
    ],
    ids=str,
)
async def test_rates_that_cannot_be_are_refused(
    api: Api, market: str, rates: dict[str, Any], status: int, code: str
) -> None:
    """And the market stays free."""
    refused = await api("PUT", f"/instruments/{market}/fees", rates)
    assert (refused.status, refused.body["code"]) == (status, code)
    assert [fees["seq"] for fees in (await api("GET", "/fees")).body if fees["instrument"] == market] == [None]


@pytest.mark.parametrize(
    ("maker", "clients", "sentence"),
    [
        ("0.001", {}, "maker must be basis points with at most two decimals, like 2.5 or -0.75"),
        ("1e1", {}, "maker must be basis points with at most two decimals, like 2.5 or -0.75"),
        ("1", {"a b": {"maker": "1", "taker": "1"}}, "clients must be 1 to 64 of A-Z a-z 0-9 . _ : -, but not . or .."),
        (
            "10000.01",
            {},
            "a rate is from -10000 to 10000 basis points, and at most 1,000 clients have their own",
        ),
    ],
)
async def test_a_refusal_says_what_a_rate_is(
    api: Api, market: str, maker: str, clients: dict[str, Any], sentence: str
) -> None:
    """And where it is wrong."""
    rates = {"maker": maker, "taker": "1", "clients": clients}
    assert (await api("PUT", f"/instruments/{market}/fees", rates)).body["detail"] == sentence


async def test_a_thousand_clients_with_the_longest_names_have_rates(api: Api, market: str) -> None:
    """Their body is larger than an order's may be; one client more is refused."""
    clients = {f"{n:x}".rjust(64, "x"): {"maker": "-10000.00", "taker": "-10000.00"} for n in range(1_001)}
    over = await api("PUT", f"/instruments/{market}/fees", {"maker": "1", "taker": "1", "clients": clients})
    clients.pop("0".rjust(64, "x"))
    most = await api("PUT", f"/instruments/{market}/fees", {"maker": "1", "taker": "1", "clients": clients})

    assert (over.status, over.body["code"]) == (422, "invalid_fees")
    assert (most.status, len(most.body["clients"])) == (200, 1_000)


async def test_a_trade_is_busted_once_and_its_orders_stay(api: Api, market: str) -> None:
    """200 with the seq of the bust; a repeat under the same key the same; another bust 409."""
    await api("PUT", f"/instruments/{market}/fees", RATES)
    order, trade_id = await traded(api, market)
    path, key, body = f"/trades/{trade_id}/bust", {"Idempotency-Key": str(uuid4())}, {"reason": "wrong price: ☂"}
    busted = await api("POST", path, body, headers=key)
    again = await api("POST", path, body, headers=key)
    twice = await api("POST", path, body)

    assert (busted.status, again.status, again.body) == (200, 200, busted.body)
    expected = {"trade_id": trade_id, "instrument": market, "seq": 5, "reason": "wrong price: ☂"}
    assert {name: value for name, value in busted.body.items() if name != "busted_at"} == expected
    assert (twice.status, twice.body["code"]) == (409, "trade_busted")
    shown = (await api("GET", f"/trades?instrument={market}")).body
    assert [trade["busted_at"] for trade in shown] == [busted.body["busted_at"]]
    assert (await api("GET", f"/orders/{order['order_id']}")).body == order


async def test_a_trade_of_a_halted_market_can_be_busted(api: Api, market: str) -> None:
    """The operator halts it first, more often than not."""
    _, trade_id = await traded(api, market)
    await api("POST", f"/instruments/{market}/halt")
    assert (await api("POST", f"/trades/{trade_id}/bust", {"reason": "an error"})).status == 200


async def test_what_is_no_trade_cannot_be_busted(api: Api, market: str) -> None:
    """404, whatever is wrong with the id."""
    for trade_id in (f"{market}-1", f"{market}-0", f"{market}-01", f"{market}-x", "NO-SUCH-1", "x", "9" * 200):
        refused = await api("POST", f"/trades/{trade_id}/bust", {"reason": "an error"})
        assert (refused.status, refused.body["code"]) == (404, "unknown_trade"), trade_id


async def test_a_bust_needs_a_reason(api: Api, market: str) -> None:
    """Of at most 200 characters."""
    for body in ({}, {"reason": ""}, {"reason": "x" * 201}, {"reason": 7}):
        assert (await api("POST", f"/trades/{market}-1/bust", body)).status == 400
