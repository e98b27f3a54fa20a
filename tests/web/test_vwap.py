"""`GET /vwap`: the quotient of two exact sums over the trades of a span, without busted ones."""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pytest

from tests.until import until
from tests.web.conftest import Answer, Api

TRADES = (("100.00", "1"), ("100.01", "2"), ("99.97", "0.3333"), ("250.00", "0.0001"))


async def traded(api: Api, market: str) -> list[dict[str, Any]]:
    """Trades at these prices, oldest first."""
    for price, quantity in TRADES:
        for side in ("sell", "buy"):
            await api.place(instrument=market, client_id=side, side=side, price=price, quantity=quantity)
    found = await until(
        lambda: api("GET", f"/trades?instrument={market}"), lambda answer: len(answer.body) == len(TRADES)
    )
    return list(reversed(found.body))


async def asked(api: Api, path: str) -> Answer:
    """Postgres is milliseconds behind."""
    return await until(lambda: api("GET", path), lambda answer: answer.status != 503)


def average(trades: list[dict[str, Any]]) -> tuple[str, str]:
    """The volume, and Σ price × quantity / Σ quantity with eight decimals, rounded half up."""
    with localcontext(prec=60):
        volume = sum(Decimal(trade["quantity"]) for trade in trades)
        notional = sum(Decimal(trade["price"]) * Decimal(trade["quantity"]) for trade in trades)
        return f"{volume:.4f}", str((notional / volume).quantize(Decimal("1e-8"), ROUND_HALF_UP))


async def test_it_is_the_quotient_of_the_sums_of_a_span(api: Api, other_api: Api, market: str) -> None:
    """From a time on, before a time, and over everything; either gateway answers the same."""
    trades = await traded(api, market)
    times = [trade["executed_at"] for trade in trades]
    spans = {"": trades, f"&from={times[1]}": trades[1:], f"&to={times[3]}": trades[:3]}
    spans[f"&from={times[1]}&to={times[3]}"] = trades[1:3]
    seq = (await api("GET", f"/orderbook?instrument={market}")).body["seq"]
    for query, wanted in spans.items():
        body = (await asked(api, f"/vwap?instrument={market}{query}")).body
        assert (body["volume"], body["vwap"]) == average(wanted), query
        assert (body["trades"], body["seq"]) == (len(wanted), seq)
        assert (await asked(other_api, f"/vwap?instrument={market}{query}")).body == body

    body = (await asked(api, f"/vwap?instrument={market}")).body
    assert body["quote_volume"] == "333.365001"


async def test_a_busted_trade_counts_no_more(api: Api, market: str) -> None:
    """From the report that busted it on: the answer's seq is that of the bust or later."""
    trades = await traded(api, market)
    bust = await until(
        lambda: api("POST", f"/trades/{trades[3]['trade_id']}/bust", {"reason": "entered at the wrong price"}),
        lambda answer: answer.status == 200,
    )
    body = (await asked(api, f"/vwap?instrument={market}")).body

    assert body["seq"] >= bust.body["seq"]
    assert (body["trades"], body["volume"], body["vwap"]) == (3, *average(trades[:3]))


async def test_a_span_without_trades_has_no_average(api: Api, market: str) -> None:
    """Sums are 0, and nothing is divided by them."""
    body = (await asked(api, f"/vwap?instrument={market}&to=2001-01-01T00:00:00%2B01:00")).body

    assert (body["from"], body["to"]) == (None, "2000-12-31T23:00:00.000Z")
    assert (body["trades"], body["volume"], body["quote_volume"], body["vwap"]) == (0, "0.0000", "0.000000", None)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "malformed_request"),
        ("?instrument=NO-SUCH", 404, "unknown_instrument"),
        ("?instrument=BTC-USD&from=yesterday", 400, "malformed_request"),
        ("?instrument=BTC-USD&from=2026-01-01T00:00:00+01:00", 400, "malformed_request"),
        ("?instrument=BTC-USD&from=1900-01-01T00:00:00Z", 422, "invalid_value"),
        ("?instrument=BTC-USD&from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", 422, "invalid_value"),
    ],
)
async def test_a_wrong_span_is_refused(api: Api, query: str, status: int, code: str) -> None:
    """A plus that is not written as %2B is a space."""
    answer = await api("GET", f"/vwap{query}")
    assert (answer.status, answer.body["code"]) == (status, code)
