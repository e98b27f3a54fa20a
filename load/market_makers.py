"""A seeded flow for people to look at: makers quote around wandering prices, takers trade with them. No I/O, no clock.

Prices and quantities are whole numbers of ticks and lots; `Decimal` text leaves through `text`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

MAKERS = ("maker-1", "maker-2", "maker-3", "maker-4")
TAKERS = ("taker-1", "taker-2", "taker-3", "taker-4", "taker-5")
VISITOR = "me"  # the client whose orders the page shows at first: it too trades now and then
MOST_QUOTES = 44  # of an instrument and side; then the oldest is canceled
VISITORS_QUOTES = 3
KINDS = ("quote", "far quote", "take", "sweep", "visit")
WEIGHTS = (62, 14, 19, 2, 3)


class Shape(NamedTuple):
    """How an instrument trades: its first price, steps of quotes and sizes, in ticks and lots of this many decimals."""

    instrument: str
    price: int
    price_decimals: int
    step: int
    lots: int
    lot_decimals: int
    weight: int


SHAPES = (
    Shape("BTC-USD", 7_000_000, 2, 150, 1_500, 4, 40),
    Shape("ETH-USD", 352_000, 2, 12, 12_000, 4, 16),
    Shape("SOL-USD", 18_200, 2, 2, 150_000, 4, 10),
    Shape("BNB-USD", 61_400, 2, 4, 40_000, 4, 6),
    Shape("XRP-USD", 22_100, 4, 3, 9_000_000, 4, 6),
    Shape("ADA-USD", 7_420, 4, 2, 20_000_000, 4, 5),
    Shape("DOGE-USD", 16_800, 5, 5, 60_000_000, 4, 5),
    Shape("DOT-USD", 7_120, 3, 2, 2_000_000, 4, 4),
    Shape("MATIC-USD", 5_310, 4, 2, 25_000_000, 4, 4),
    Shape("LTC-USD", 8_450, 2, 2, 300_000, 4, 4),
)


def text(size: int, decimals: int) -> str:
    """A whole number of 10^-decimals as decimal text."""
    whole, rest = divmod(size, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)


@dataclass
class _Market:
    shape: Shape
    middle: int
    drift: float = 0.0
    quotes: dict[tuple[str, str], deque[str]] = field(default_factory=dict)
    """Keys of resting orders by client and side, the oldest first."""


class Step(NamedTuple):
    """Orders to place, and keys of earlier ones to cancel."""

    places: list[dict[str, Any]]
    cancels: list[str]


def steps(seed: int, instruments: frozenset[str], tag: str) -> Iterator[Step]:
    """An endless flow over those of the usual instruments that are listed; the same seed gives the same flow.

    Keys begin with `tag`: under the keys of an earlier run the venue would only repeat its answers.
    """
    random = Random(seed)
    markets = [_Market(shape, shape.price) for shape in SHAPES if shape.instrument in instruments]
    weights = [market.shape.weight for market in markets]
    number = 0
    while markets:
        market = random.choices(markets, weights)[0]
        _wander(random, market)
        number += 1
        yield _step(random, market, f"{tag}-s{number}")


def opening(seed: int, instruments: frozenset[str], tag: str) -> list[Step]:
    """Quotes that fill the books at the beginning."""
    random, found = Random(seed), []
    for shape in SHAPES:
        if shape.instrument in instruments:
            market = _Market(shape, shape.price)
            for at in range(MOST_QUOTES):
                side = ("buy", "sell")[at % 2]
                found.append(_quote(random, market, f"{tag}-o{at}", MAKERS[at % len(MAKERS)], side, 1 + at // 2))
    return found


def _wander(random: Random, market: _Market) -> None:
    """The middle follows a drift that forgets itself, so that prices form trends and return."""
    market.drift = market.drift * 0.985 + random.gauss(0, 0.35)
    move = market.drift * market.shape.step * 0.5 + (market.shape.price - market.middle) * 0.0004
    market.middle = max(market.shape.step * 100, market.middle + round(move))


def _step(random: Random, market: _Market, key: str) -> Step:
    kind = random.choices(KINDS, WEIGHTS)[0]
    side = random.choice(("buy", "sell"))
    if kind == "take" or kind == "sweep":
        size = random.randint(1, 8) if kind == "take" else random.randint(20, 60)
        return Step([_take(random, market, key, random.choice(TAKERS), side, size)], [])
    if kind == "visit":
        if random.random() < 0.5:
            return Step([_take(random, market, key, VISITOR, side, random.randint(1, 3))], [])
        return _quote(random, market, key, VISITOR, side, random.randint(4, 20), VISITORS_QUOTES)
    away = random.randint(1, 9) if kind == "quote" else random.randint(10, 60)
    return _quote(random, market, key, random.choice(MAKERS), side, away)


def _take(random: Random, market: _Market, key: str, client: str, side: str, size: int) -> dict[str, Any]:
    shape = market.shape
    quantity = max(1, shape.lots * size // 10 + random.randint(-shape.lots // 20, shape.lots // 20))
    order = {"client_order_id": key, "client_id": client, "instrument": shape.instrument, "side": side}
    return order | {"type": "market", "quantity": text(quantity, shape.lot_decimals)}


def _quote(
    random: Random, market: _Market, key: str, client: str, side: str, away: int, most: int = MOST_QUOTES // 4
) -> Step:
    shape = market.shape
    distance = shape.step * away + random.randint(0, shape.step)
    price = max(1, market.middle - distance if side == "buy" else market.middle + distance)
    quantity = max(1, shape.lots * random.randint(2, 30) // 10)
    order = {"client_order_id": key, "client_id": client, "instrument": shape.instrument, "side": side}
    order |= {"type": "limit", "price": text(price, shape.price_decimals)}
    order |= {"quantity": text(quantity, shape.lot_decimals)}
    keys = market.quotes.setdefault((client, side), deque())
    keys.append(f"{client} {shape.instrument} {key}")
    return Step([order], [keys.popleft()] if len(keys) > most else [])
