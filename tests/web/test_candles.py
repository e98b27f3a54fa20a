"""Bars and tickers over HTTP: what the trades fold into, the same on the stream and in Postgres at the same seq."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

import pytest
from msgspec import to_builtins

from app import app
from app.local.venue import Venue
from app.models.bars import candle_answer, ticker_data
from app.models.candles import CandlesUpdate
from app.models.http import milliseconds
from app.postgres.bars import newest
from app.postgres.reading import Reader
from load.followed import Followed
from tests.postgres.recorded import table_rows
from tests.until import until
from tests.web.conftest import Answer, Api
from tests.web.test_stream import connected
from web.market import bars as market_bars
from web.market.bars import BarsFeed

INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d", "1w")
PRICES = ("100.00", "103.50", "98.25", "101.01")

Bars = dict[tuple[str, str], dict[str, Any]]
"""Interval and opening time -> the bar."""


async def trade(api: Api, market: str, price: str, quantity: str = "0.5", taker: str = "buy") -> int:
    """Two orders that trade; the seq of the report with the trade."""
    maker = "sell" if taker == "buy" else "buy"
    await api.place(instrument=market, client_id="maker", side=maker, price=price, quantity=quantity)
    return (await api.place(instrument=market, client_id="taker", side=taker, price=price, quantity=quantity)).body[
        "seq"
    ]


async def candles(api: Api, market: str, seq: int, query: str = "&interval=1d") -> list[dict[str, Any]]:
    """The bars once they are right up to this seq; the last update of a slice may need the next report."""

    async def ask() -> Answer:
        await api("POST", f"/snapshots?instrument={market}")  # a report, with which the log's time goes on
        return await api("GET", f"/candles?instrument={market}{query}")

    found = await until(ask, lambda answer: answer.status == 200 and int(answer.headers.get("X-Seq", "0")) >= seq)
    return list(found.body)


def folded(trades: list[dict[str, Any]]) -> dict[str, Any]:
    """What trades fold into, oldest first."""
    with localcontext(prec=60):
        notional = [Decimal(t["price"]) * Decimal(t["quantity"]) for t in trades]
        bought = [t["aggressor_side"] == "buy" for t in trades]
        prices = [t["price"] for t in trades]
        return {
            "open": prices[0],
            "high": max(prices, key=Decimal),
            "low": min(prices, key=Decimal),
            "close": prices[-1],
            "volume": f"{sum(Decimal(t['quantity']) for t in trades):.4f}",
            "quote_volume": f"{sum(notional):.6f}",
            "trades": len(trades),
            "taker_buy_volume": f"{sum(Decimal(t['quantity']) for t, b in zip(trades, bought, strict=True) if b):.4f}",
            "taker_buy_quote_volume": f"{sum(n for n, b in zip(notional, bought, strict=True) if b):.6f}",
            "first_trade_seq": trades[0]["seq"],
            "last_trade_seq": trades[-1]["seq"],
        }


async def traded(api: Api, market: str) -> tuple[int, list[dict[str, Any]]]:
    """Trades at these prices; the seq of the last, and all of them, oldest first."""
    seq = 0
    for number, price in enumerate(PRICES):
        seq = await trade(api, market, price, f"0.{number + 1}", "sell" if number % 2 else "buy")
    return seq, list(reversed((await api("GET", f"/trades?instrument={market}")).body))


def ms(time: str) -> int:
    """RFC 3339 as milliseconds since the epoch."""
    return milliseconds(datetime.fromisoformat(time)) or 0


async def test_bars_of_every_interval_are_what_the_trades_fold_into(api: Api, other_api: Api, market: str) -> None:
    """Each trade is in one bar of each interval; either gateway answers the same."""
    seq, trades = await traded(api, market)
    for interval in INTERVALS:
        found = await candles(api, market, seq, f"&interval={interval}&limit=1000")
        for bar in found:
            inside = [t for t in trades if bar["open_time"] <= t["executed_at"] <= bar["close_time"]]
            assert {name: bar[name] for name in folded(inside)} == folded(inside), interval
            assert (bar["interval"], bar["revision"]) == (interval, 0)
        assert sum(bar["trades"] for bar in found) == len(trades)
    assert await candles(other_api, market, seq) == await candles(api, market, seq)


async def all_bars(api: Api, market: str, seq: int) -> tuple[int, Bars]:
    """Every bar of a market as of one seq, not below this one."""
    await candles(api, market, seq)
    found: Bars = {}
    seqs = set[int]()
    for interval in INTERVALS:
        answer = await api("GET", f"/candles?instrument={market}&interval={interval}")
        seqs.add(int(answer.headers["X-Seq"]))
        found |= {(bar["interval"], bar["open_time"]): bar for bar in answer.body}
    assert len(seqs) == 1, "nothing else happens on this market"
    return seqs.pop(), found


async def test_http_stream_and_postgres_have_the_same_bars_at_the_same_seq(
    venue: Venue, api: Api, other_api: Api, market: str
) -> None:
    """A5: through trades and a bust, to the last digit; the stream is another gateway's."""
    told: Bars = {}
    async with connected(other_api) as of_bars, connected(api) as of_tickers:
        bars, tickers = Followed("candles", market), Followed("ticker", market)
        await of_bars.follow(bars)
        await of_tickers.follow(tickers)
        _, trades = await traded(api, market)
        bust = await until(
            lambda: api("POST", f"/trades/{trades[1]['trade_id']}/bust", {"reason": "wrong price"}),
            lambda answer: answer.status == 200,
        )
        seq, answered = await all_bars(api, market, bust.body["seq"])
        for message in await of_bars.until(bars, seq):
            told |= {(bar["interval"], bar["open_time"]): bar for bar in message["data"]}
        ticker = (await of_tickers.until(tickers, seq))[-1]
    shown = (await api("GET", f"/ticker?instrument={market}")).body

    async def recorded() -> list[dict[str, Any]]:
        return [row for row in table_rows(venue.servers.database_url, "tickers") if row["instrument"] == market]

    (recorded_ticker,) = await until(recorded, lambda rows: bool(rows) and rows[0]["seq"] >= seq)
    rows = [row for row in table_rows(venue.servers.database_url, "candles") if row["instrument"] == market]

    assert told == answered and bars.last_seq == tickers.last_seq == seq
    assert {(row["interval"], int(row["open_time"])): as_answered(row) for row in rows} == {
        (interval, ms(open_time)): as_answered(bar) for (interval, open_time), bar in answered.items()
    }
    assert as_answered(recorded_ticker) == as_answered(ticker["data"][0]) == as_answered(shown)
    left = folded([trade for number, trade in enumerate(trades) if number != 1])
    for interval in INTERVALS:
        of_interval = [bar for (name, _), bar in answered.items() if name == interval]
        assert sum(bar["trades"] for bar in of_interval) == left["trades"]
        assert sum(bar["revision"] for bar in of_interval) == 1
    sums = ("volume", "quote_volume", "trades", "first_trade_seq", "last_trade_seq")
    assert {name: shown[name] for name in sums} == {name: left[name] for name in sums}


def as_answered(row: dict[str, Any]) -> dict[str, Any]:
    """A bar or a ticker as both Postgres and the API have it, with times in ms."""
    apart = {"instrument", "interval", "best_bid", "best_ask", "book_seq"} | ({"seq"} if "last" in row else set())
    times = {name: row[name] for name in ("open_time", "close_time", "last_time") if name in row}
    shown = {name: ms(time) if isinstance(time, str) else int(time) for name, time in times.items()}
    return {name: value for name, value in row.items() if name not in apart} | shown


async def test_a_ticker_has_the_best_prices_of_the_book(api: Api, other_api: Api, market: str) -> None:
    """And of a market that never traded only those."""
    await api.place(instrument=market, price="99.00")
    empty = (await api("GET", f"/ticker?instrument={market}")).body
    seq = await trade(api, market, "100.00")
    await candles(api, market, seq)
    found = (await api("GET", f"/ticker?instrument={market}")).body
    every = (await api("GET", "/ticker")).body

    assert (empty["seq"], empty["trades"], empty["vwap"], empty["best_bid"]) == (None, 0, None, "99.00")
    assert (found["last"], found["volume"], found["vwap"]) == ("100.00", "0.5000", "100.00000000")
    assert (found["best_bid"], found["best_ask"], found["price_change"]) == ("99.00", None, "0.00")
    assert [ticker["instrument"] for ticker in every if ticker["instrument"] == market] == [market]


async def test_pages_follow_each_other_and_a_span_bounds_them(api: Api, market: str) -> None:
    """Newest first, by cursor, however long the span: ten years of minutes are asked for a page at a time."""
    seq = await trade(api, market, "100.00")
    span = "&interval=1m&from=2016-01-01T00:00:00Z"
    (bar,) = await candles(api, market, seq, span)
    page = (await api("GET", f"/candles?instrument={market}{span}&cursor=&limit=1")).body
    before = (await api("GET", f"/candles?instrument={market}&interval=1m&to={bar['open_time']}")).body
    exactly = (await api("GET", f"/candles?instrument={market}&interval=1m&from={bar['open_time']}")).body

    assert (page["candles"], page["next_cursor"]) == ([bar], None) and page["seq"] >= seq
    assert (before, exactly) == ([], [bar])


async def test_times_without_trades_are_filled_up_to_the_log_s_time(api: Api, market: str) -> None:
    """Nothing before the first trade, which is now: the bar of now, and flat ones if a minute has begun since."""
    seq = await trade(api, market, "100.00")
    await candles(api, market, seq)
    path = f"/candles?instrument={market}&interval=1m&limit=1000&fill=previous"
    found = (await until(lambda: api("GET", path), lambda answer: answer.status == 200)).body
    page = (await api("GET", f"{path}&cursor=")).body

    *flat, bar = found
    assert (bar["trades"], bar["close"], page["next_cursor"]) == (1, "100.00", None)
    assert all((b["trades"], b["open"], b["volume"], b["revision"]) == (0, "100.00", "0.0000", 0) for b in flat)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?interval=1m", 400, "malformed_request"),
        ("?instrument=BTC-USD", 400, "malformed_request"),
        ("?instrument=BTC-USD&interval=2m", 422, "invalid_value"),
        ("?instrument=NO-SUCH&interval=1m", 404, "unknown_instrument"),
        ("?instrument=BTC-USD&interval=1m&limit=1001", 400, "malformed_request"),
        ("?instrument=BTC-USD&interval=1m&fill=zero", 422, "invalid_value"),
        ("?instrument=BTC-USD&interval=1m&cursor=x", 400, "malformed_request"),
        ("?instrument=BTC-USD&interval=1m&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "invalid_value"),
    ],
)
async def test_a_wrong_request_is_refused(api: Api, query: str, status: int, code: str) -> None:
    """With the field and what it may be."""
    answer = await api("GET", f"/candles{query}")
    assert (answer.status, answer.body["code"]) == (status, code)


@asynccontextmanager
async def gateway_bars(venue: Venue, database_url: str) -> AsyncIterator[BarsFeed]:
    """The bars of a gateway that begins now."""
    reader = Reader(database_url)
    feed = BarsFeed(venue.servers.broker, app.conf.topic_partitions, reader, lambda bars, update: None)
    following = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.is_ready)
        yield feed
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await reader.close()


async def newest_recorded(venue: Venue, known: list[str]) -> tuple[dict[int, int], list[CandlesUpdate]]:
    """What Postgres has of all markets but these."""
    reader = Reader(venue.servers.database_url)
    try:
        return await newest(reader, known)
    finally:
        await reader.close()


async def test_a_gateway_takes_markets_that_were_quiet_from_postgres(
    venue: Venue, api: Api, market: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the latest updates only, here none: the rest is what others tell, and the next update follows it."""
    seq, _ = await traded(api, market)
    seq, shown = await all_bars(api, market, seq)
    ticker = (await api("GET", f"/ticker?instrument={market}")).body
    monkeypatch.setattr(market_bars, "MAX_READ", 0)
    monkeypatch.setattr(market_bars, "RECALL_AGAIN_S", 0.1)  # recording may be behind at first
    async with gateway_bars(venue, venue.servers.database_url) as feed:
        bars = await until(lambda: feed.of(market), lambda found: found.ticker is not None)
        latest = {interval: max(time for name, time in shown if name == interval) for interval in INTERVALS}
        assert [to_builtins(candle_answer(bar)) for bar in bars.bars()] == [shown[key] for key in latest.items()]
        assert bars.ticker is not None and as_answered(to_builtins(ticker_data(bars.ticker))) == as_answered(ticker)
        assert (bars.seq, bars.first_seq, list(bars.after(seq))) == (seq, seq + 1, [])
        later = await trade(api, market, "100.00")
        await candles(api, market, later)
        await until(lambda: bars.seq, lambda found: found >= later)
        assert bars.first_seq == seq + 1
    recorded, updates = await newest_recorded(venue, [market])
    assert market not in {update.instrument for update in updates} and sum(recorded.values()) > 0
    every = {update.instrument for update in (await newest_recorded(venue, []))[1]}
    assert market in every and (await newest_recorded(venue, list(every)))[0].keys() == recorded.keys()


async def test_a_gateway_begins_without_postgres(
    venue: Venue, api: Api, market: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it knows nothing of a quiet market until the next update, or until Postgres is back."""
    seq, _ = await traded(api, market)
    await all_bars(api, market, seq)
    monkeypatch.setattr(market_bars, "MAX_READ", 0)
    async with gateway_bars(venue, "postgresql://127.0.0.1:1/nobody") as feed:
        assert feed.of(market).ticker is None
        later = await trade(api, market, "100.00")
        await candles(api, market, later)
        await until(lambda: feed.of(market).seq, lambda found: found >= later)
