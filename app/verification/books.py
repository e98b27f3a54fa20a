"""A gateway's books against those that the log's reports add up to, each at the seq that the gateway showed (O3)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.models.reports import ExecutionReport

MOST_LEVELS = 1_000  # that a gateway shows on a side
RESERVED = "_"  # begins the names that are no markets

Level = tuple[str, str, int]  # price, quantity, orders


class BookAnswer(NamedTuple):
    """A gateway's book: levels as (price, quantity, orders), best first."""

    seq: int
    bids: list[Level]
    asks: list[Level]


class Books:
    """Follows the books of all listed instruments."""

    def __init__(self, answers: Mapping[str, BookAnswer]) -> None:
        self._answers = dict(answers)
        self._levels: dict[str, dict[tuple[str, str], Level]] = {name: {} for name in answers}
        self._required_seqs: dict[str, int] = {}

    def follow(self, report: ExecutionReport, is_required: bool) -> Iterator[str]:
        """The log gives a report; a gateway must know of it by now if `is_required`. What is wrong at its seq."""
        if is_required and not report.instrument.startswith(RESERVED):
            self._required_seqs[report.instrument] = report.seq
        levels = self._levels.get(report.instrument)
        if levels is None:
            return
        for level in report.levels:
            if level.orders:
                levels[level.side.value, level.price] = level.price, level.quantity, level.orders
            else:
                levels.pop((level.side.value, level.price), None)
        answer = self._answers[report.instrument]
        if answer.seq == report.seq:
            yield from _sides(report.instrument, answer, levels)

    def end(self) -> Iterator[str]:
        """The books that lag behind what they must show."""
        for instrument, seq in self._required_seqs.items():
            answer = self._answers.get(instrument)
            if answer is None or answer.seq < seq:
                yield f"book of {instrument} is at seq {answer and answer.seq}, the log at {seq}"


def _sides(instrument: str, answer: BookAnswer, levels: dict[tuple[str, str], Level]) -> Iterator[str]:
    for side, shown in (("buy", answer.bids), ("sell", answer.asks)):
        right = [level for (of, _), level in levels.items() if of == side]
        right.sort(key=_by_price, reverse=side == "buy")
        yield from _side(f"book of {instrument} at seq {answer.seq}: {side}", shown, right[:MOST_LEVELS])


def _side(name: str, shown: list[Level], right: list[Level]) -> Iterator[str]:
    for place, (mine, should) in enumerate(zip(shown, right, strict=False), start=1):
        if tuple(mine) != should:
            yield f"{name} level {place} is {tuple(mine)}, by the log {should}"
    if len(shown) != len(right):
        yield f"{name} has {len(shown)} levels, by the log {len(right)}"


def _by_price(level: Level) -> tuple[int, str]:
    """Decimals with as many digits after the point sort like numbers if the shorter ones come first."""
    return len(level[0]), level[0]
