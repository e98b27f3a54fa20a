"""Profiles of load: which instruments, clients, prices and quantities; numbers are whole hundredths, never floats."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

TEN_INSTRUMENTS = (
    "BTC-USD",
    "ETH-USD",
    "SOL-USD",
    "BNB-USD",
    "XRP-USD",
    "ADA-USD",
    "DOGE-USD",
    "DOT-USD",
    "MATIC-USD",
    "LTC-USD",
)
SIDES = ("buy", "sell")
MID = 7_000_000  # 70,000.00
HALF_BAND = 150_000  # 1,500.00
SMALLEST, LARGEST = 10, 210  # 0.10 to 2.10
SWEEP_ORDERS = 50  # orders that rest on one side before a market order takes all of them
SWEEP_QUANTITY = SWEEP_ORDERS * LARGEST


class Drawn(NamedTuple):
    """An order as a profile draws it: price and quantity in hundredths, `price` None for a market order."""

    instrument: str
    side: str
    quantity: int
    price: int | None


class Mix(NamedTuple):
    """How many of each thousand requests are of these kinds; the rest are limit orders."""

    market: int
    cancel: int
    repeat: int
    hostile: int


PLAIN = Mix(market=0, cancel=0, repeat=0, hostile=0)
MIXED = Mix(market=30, cancel=100, repeat=20, hostile=20)


@dataclass(frozen=True)
class Profile:
    """`draw(random, n, instruments)` is the n-th order of the stream, counted from 0."""

    name: str
    instruments: tuple[str, ...]
    clients: int
    draw: Callable[[Random, int, tuple[str, ...]], Drawn]


def _reference(random: Random, number: int, instruments: tuple[str, ...]) -> Drawn:
    """Both sides at uniform prices in one band: half of the orders cross, and orders at the extremes pile up."""
    instrument = instruments[random.randrange(len(instruments))]
    price = MID + random.randint(-HALF_BAND, HALF_BAND)
    return Drawn(instrument, SIDES[random.randrange(2)], random.randint(SMALLEST, LARGEST), price)


def _book_builder(random: Random, number: int, instruments: tuple[str, ...]) -> Drawn:
    """Most orders near the middle, few far away, and none that crosses: the book only grows."""
    instrument = instruments[random.randrange(len(instruments))]
    side = SIDES[random.randrange(2)]
    distance = min(random.randint(1, HALF_BAND) for _ in range(4))
    price = MID - distance if side == "buy" else MID + distance
    return Drawn(instrument, side, _round_lot(random), price)


def _crossing(random: Random, number: int, instruments: tuple[str, ...]) -> Drawn:
    """A sell, then a buy that takes exactly it: every second order trades and the book stays small."""
    pair = number // 2
    instrument = instruments[pair % len(instruments)]
    price = MID + pair * 7919 % (2 * HALF_BAND) - HALF_BAND
    return Drawn(instrument, SIDES[1 - number % 2], SMALLEST + pair * 31 % (LARGEST - SMALLEST), price)


def _one_price(random: Random, number: int, instruments: tuple[str, ...]) -> Drawn:
    """All orders at one price: one long queue on one side or the other."""
    return Drawn(instruments[0], SIDES[random.randrange(2)], random.randint(SMALLEST, LARGEST), MID)


def _sweep(random: Random, number: int, instruments: tuple[str, ...]) -> Drawn:
    """Fifty orders on fifty levels of one side, then a market order that takes all and empties the side."""
    cycle, place = divmod(number, SWEEP_ORDERS + 1)
    instrument, resting = instruments[cycle % len(instruments)], SIDES[cycle // len(instruments) % 2]
    if place == SWEEP_ORDERS:
        return Drawn(instrument, "sell" if resting == "buy" else "buy", SWEEP_QUANTITY, None)
    price = MID - 100 * (place + 1) if resting == "buy" else MID + 100 * (place + 1)
    return Drawn(instrument, resting, random.randint(SMALLEST, LARGEST), price)


def _round_lot(random: Random) -> int:
    """A quantity that is usually round, as people choose them."""
    quantity = random.randint(SMALLEST, LARGEST)
    return quantity if random.random() < 0.3 else max(SMALLEST, quantity - quantity % 50)


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("reference", TEN_INSTRUMENTS, 1_000, _reference),
        Profile("book-builder", TEN_INSTRUMENTS, 1_000, _book_builder),
        Profile("crossing", TEN_INSTRUMENTS, 1_000, _crossing),
        Profile("one-price", TEN_INSTRUMENTS[:1], 1_000, _one_price),
        Profile("sweep", TEN_INSTRUMENTS, 1_000, _sweep),
    )
}
