"""Compares a venue's bars, tickers and average prices with plain SQL over all its trades, to the last digit."""

import asyncio
import time
from decimal import Decimal
from itertools import chain
from random import Random
from typing import Any, NamedTuple

from app.models.http import rfc3339
from app.postgres.plain_sums import Average, Span, averages, bar_spans, differing_rows, trade_times
from app.postgres.reading import Reader
from load.client import Client
from load.run import Venue

SQL_TIMEOUT_S = 60.0
POLL_S = 0.5
SPANS_OF_TRADES = 20
"""Of each market, between the times of two trades or a millisecond beside them."""
AT_ONCE = 50


class Compared(NamedTuple):
    """How many bars and average prices were compared, and a sentence for each figure that differs."""

    bars: int
    averages: int
    differing: list[str]

    def as_text(self) -> str:
        """A line for people; the differences are told elsewhere."""
        verdict = f"{len(self.differing)} differ" if self.differing else "equal"
        return f"plain SQL: {self.bars:,} bars and {self.averages:,} average prices compared, {verdict}"


async def compare_figures(venue: Venue, timeout_s: float, seed: int = 1) -> Compared:
    """Compare all bars and tickers and many average prices; the last bars may need `timeout_s` to be recorded.

    No orders may come meanwhile.
    """
    give_up = time.monotonic() + timeout_s
    reader = Reader(venue.database_url, SQL_TIMEOUT_S)
    try:
        while rows := await differing_rows(reader):
            if time.monotonic() > give_up:
                break
            await asyncio.sleep(POLL_S)
        bars = await bar_spans(reader)
        spans = bars + await spans_of_trades(reader, Random(seed))
        return Compared(len(bars), len(spans), rows + await differing_averages(venue.url, reader, spans))
    finally:
        await reader.close()


async def spans_of_trades(reader: Reader, random: Random) -> list[Span]:
    """Of each market all trades, and those from, before and between the times of some."""
    found: list[Span] = []
    for instrument, times in (await trade_times(reader)).items():
        found.append(Span(instrument, None, None))
        for _ in range(SPANS_OF_TRADES):
            from_ms, to_ms = sorted(random.choice(times) + random.choice((-1, 0, 1)) for _ in range(2))
            found += [Span(instrument, from_ms, None), Span(instrument, None, to_ms)]
            found.append(Span(instrument, from_ms, to_ms + (from_ms == to_ms)))
    return found


async def differing_averages(url: str, reader: Reader, spans: list[Span]) -> list[str]:
    """A sentence for each of these spans whose average or sums a gateway answers otherwise than SQL computes them."""
    expected = await averages(reader, spans)
    async with Client(url) as client:
        pieces = [spans[first : first + AT_ONCE] for first in range(0, len(spans), AT_ONCE)]
        answers = chain.from_iterable([await asyncio.gather(*(_ask(client, span) for span in one)) for one in pieces])
    return [
        f"vwap of {span}: answered {_figures(answer)}, the trades say {wanted}"
        for span, answer, wanted in zip(spans, answers, expected, strict=True)
        if not _is_right(answer, wanted)
    ]


async def _ask(client: Client, span: Span) -> dict[str, Any]:
    bounds = {"from": span.from_ms, "to": span.to_ms}
    query = {name: None if time_ms is None else rfc3339(time_ms) for name, time_ms in bounds.items()}
    found: dict[str, Any] = await client.get("/vwap", instrument=span.instrument, **query)
    return found


def _figures(answer: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(answer[name] for name in Average._fields)


def _is_right(answer: dict[str, Any], wanted: Average) -> bool:
    """Sums have the decimals of the market's sizes, in SQL those of the trades: compare them as numbers."""
    trades, volume, quote_volume, vwap = _figures(answer)
    sums = Decimal(volume), Decimal(quote_volume)
    return (trades, *sums, vwap) == (wanted.trades, Decimal(wanted.volume), Decimal(wanted.quote_volume), wanted.vwap)
