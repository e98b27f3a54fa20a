"""Histories of a market for the tests of analytics: trades, busts and quiet times, drawn by chance."""

import random
from fractions import Fraction
from typing import NamedTuple

from hypothesis import strategies as st

from app.analytics.bars import Trade
from app.analytics.history import Block
from app.analytics.market import Market, Report, Update
from app.naive.candles import NaiveTrade

SECOND_MS, MINUTE_MS, DAY_MS = 1_000, 60_000, 86_400_000
START_MS = 1_735_689_600_000 - 90 * SECOND_MS  # before the end of a minute, an hour, a day and 2024
STEPS_MS = (0, 1, 249, 250, 7 * SECOND_MS, MINUTE_MS, 5 * MINUTE_MS, 90 * MINUTE_MS, DAY_MS, 6 * DAY_MS)


class Run(NamedTuple):
    """Reports, what a market said of each, and the market afterwards."""

    reports: list[Report]
    updates: list[Update | None]
    market: Market
    blocks: dict[int, Block]


def carry(reports: list[Report], market: Market | None = None, blocks: dict[int, Block] | None = None) -> Run:
    """Give a market these reports; its complete blocks are kept as a table would."""
    kept: dict[int, Block] = {} if blocks is None else blocks
    market = market or Market(kept.__getitem__)
    updates = []
    for report in reports:
        updates.append(market.apply(report))
        kept |= market.history.fresh
        market.history.fresh.clear()
    return Run(reports, updates, market, kept)


def history_of(seed: int, length: int) -> list[Report]:
    """Reports of a market: with trades, with none (as ticks), with busts."""
    rng, reports, time_ms = random.Random(seed), list[Report](), START_MS
    trades, busted = 0, set[int]()
    for seq in range(1, length + 1):
        time_ms += rng.choice(STEPS_MS)
        kind = rng.choice(("trades", "trades", "trades", "quiet", "bust"))
        left = sorted(set(range(1, trades + 1)) - busted)
        if kind == "bust" and left:
            busted.add(number := rng.choice(left))
            reports.append(Report(seq, time_ms, (), number))
            continue
        lines = [_trade(rng, trades + i, time_ms, seq) for i in range(1, rng.randint(1, 4) + 1)]
        made = tuple(lines) if kind == "trades" else ()
        trades += len(made)
        reports.append(Report(seq, time_ms, made))
    return reports


def histories(most: int = 60) -> st.SearchStrategy[list[Report]]:
    """By a seed, because drawing each number takes a hundred times as long; the length shrinks."""
    return st.builds(history_of, st.integers(0, 2**32), st.integers(1, most))


def _trade(rng: random.Random, number: int, time_ms: int, seq: int) -> Trade:
    return Trade(number, time_ms, rng.randint(1, 5), rng.randint(1, 9), rng.random() < 0.5, seq)


def naive_trades(reports: list[Report]) -> list[NaiveTrade]:
    """All trades, with prices and quantities as numbers of ticks and lots."""
    return [
        NaiveTrade(t.seq, t.time_ms, Fraction(t.price), Fraction(t.quantity), "buy" if t.taker_buys else "sell", seq)
        for seq, _, trades, _ in reports
        for t in trades
    ]


def naive_busts(reports: list[Report]) -> dict[int, int]:
    """The number of each busted trade -> the seq of its bust."""
    return {report.bust: report.seq for report in reports if report.bust is not None}


def times(reports: list[Report]) -> list[tuple[int, int]]:
    """The seq and time of each report."""
    return [(report.seq, report.time_ms) for report in reports]
