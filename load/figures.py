"""Compares a venue's bars, tickers and average prices with plain SQL over all its trades, to the last digit."""

import asyncio
import time
from decimal import Decimal
from itertools import chain
from random import Random
from typing import Any

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


async def differing_figures(venue: Venue, timeout_s: float, seed: int = 1) -> list[str]:
    """A sentence for each figure that still differs after `timeout_s`: the last bars may not be recorded yet.

    No orders may come meanwhile.
    """
    give_up = time.monotonic() + timeout_s
    reader = Reader(venue.database_url, SQL_TIMEOUT_S)
    try:
        while rows := await differing_rows(reader):
            if time.monotonic() > give_up:
                break
            await asyncio.sleep(POLL_S)
        spans = await spans_to_ask(reader, Random(seed))
        return rows + await differing_averages(venue.url, reader, spans)
    finally:
        await reader.close()


async def spans_to_ask(reader: Reader, random: Random) -> list[Span]:
    """The span of every bar, and of each market all trades, half-open spans and spans between trades."""
    found = await bar_spans(reader)
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
