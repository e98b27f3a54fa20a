"""A gateway's books against those that the expected reports add up to (O3)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from app.models.reports import ExecutionReport

MOST_LEVELS = 1_000  # that a gateway shows on a side

Level = tuple[str, str, int]  # price, quantity, orders


class BookAnswer(NamedTuple):
    """A gateway's book: levels as (price, quantity, orders), best first."""

    seq: int
    bids: list[Level]
    asks: list[Level]


def books(found: dict[str, BookAnswer], reports: Iterable[ExecutionReport]) -> Iterator[str]:
    """Each book that is at another seq than the log, each level that is wrong."""
    seqs: dict[str, int] = {}
    levels: dict[str, dict[tuple[str, str], Level]] = {}
    for report in reports:
        seqs[report.instrument] = report.seq
        book = levels.setdefault(report.instrument, {})
        for level in report.levels:
            if level.orders:
                book[level.side.value, level.price] = level.price, level.quantity, level.orders
            else:
                book.pop((level.side.value, level.price), None)
    for instrument, answer in found.items():
        if answer.seq != seqs.get(instrument):
            yield f"book of {instrument} is at seq {answer.seq}, the log at {seqs.get(instrument)}"
        for side, shown in (("buy", answer.bids), ("sell", answer.asks)):
            right = [level for (of, _), level in levels.get(instrument, {}).items() if of == side]
            right.sort(key=_by_price, reverse=side == "buy")
            yield from _side(f"book of {instrument}: {side}", shown, right[:MOST_LEVELS])


def _side(name: str, shown: list[Level], right: list[Level]) -> Iterator[str]:
    for place, (mine, should) in enumerate(zip(shown, right, strict=False), start=1):
        if tuple(mine) != should:
            yield f"{name} level {place} is {tuple(mine)}, by the log {should}"
    if len(shown) != len(right):
        yield f"{name} has {len(shown)} levels, by the log {len(right)}"


def _by_price(level: Level) -> tuple[int, str]:
    """Decimals with as many digits after the point sort like numbers if the shorter ones come first."""
    return len(level[0]), level[0]
