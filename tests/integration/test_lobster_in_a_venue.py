"""Real NASDAQ messages through the running venue: after each of them its book shows what the exchange's showed."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from app.local.venue import Venue
from load.client import Client
from load.ledger import Ledger, Outcome
from load.request import Terms
from load.run import check
from tests.integration.conftest import addresses, list_instrument
from tests.long import LONG
from tests.market_data import data_folder
from tests.until import until_done

INSTRUMENT = "AAPL"
RULES = {"instrument": INSTRUMENT, "base_asset": "AAPL", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "1"}
NAME = "AAPL_2012-06-21_34200000_57600000"
ROWS = 999 if LONG else 250  # the data have 999
LEVELS = 10  # in the data
COMPARED = 5
CENT = 100  # prices are in 1/10,000 of a dollar

Level = tuple[int, int]  # price in 1/10,000, shares


class Message(NamedTuple):
    """Type 1 new, 2 reduced, 3 deleted, 4 executed, 5 executed against a hidden order; `side` of the resting order."""

    type: int
    order: int
    size: int
    price: int
    side: str


def _messages(file: Path) -> list[Message]:
    with file.open() as lines:
        return [
            Message(int(type_), int(order), int(size), int(price), "buy" if direction == "1" else "sell")
            for _time, type_, order, size, price, direction in csv.reader(lines)
        ]


def _rows(file: Path) -> list[dict[str, list[Level]]]:
    """For each row the ten best levels of each side, best first; a row is ask price, ask size, bid price, bid size …"""
    with file.open() as lines:
        rows = [list(map(int, row)) for row in csv.reader(lines)]
    return [
        {
            side: [(row[4 * n + at], row[4 * n + at + 1]) for n in range(LEVELS)]
            for side, at in (("sell", 0), ("buy", 2))
        }
        for row in rows
    ]


class Exchange:
    """Translates the exchange's messages into our requests; knows which of our orders stand for which of its own."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.orders: dict[int, str] = {}
        self.seeded: dict[tuple[str, int], list[str]] = defaultdict(list)

    async def seed(self, side: str, price: int, size: int) -> None:
        """Quantity whose orders we do not know."""
        self.seeded[side, price].append(await self._place("seed", side, price, size))

    async def carry_out(self, message: Message) -> None:
        """A hidden execution leaves the book as it is; all others are one or two requests."""
        if message.type == 1:
            self.orders[message.order] = await self._place("exchange", message.side, message.price, message.size)
        elif message.type in (2, 3) and message.order in self.orders:
            assert message.type == 3, "the data reduces no order that it has shown"
            await self._cancel(self.orders[message.order])
        elif message.type in (2, 3):
            await self._take_off_seeded(message)
        elif message.type == 4:
            other = "sell" if message.side == "buy" else "buy"
            await self._place("taker", other, message.price, message.size, time_in_force="IOC")

    async def book(self) -> dict[str, list[Level]]:
        """Our whole book; the engine has seen everything that we asked."""
        book = await self.client.book(INSTRUMENT, 1_000)
        return {"buy": _levels(book["bids"]), "sell": _levels(book["asks"])}

    async def _place(self, client_id: str, side: str, price: int, size: int, time_in_force: str = "GTC") -> str:
        assert price % CENT == 0
        cents = price // CENT
        text = f"{cents // 100}.{cents % 100:02d}"
        terms = Terms(client_id, INSTRUMENT, side, "limit", str(size), text, time_in_force)
        answer = await self.client.place(terms)
        assert answer.outcome is Outcome.OK, answer.body
        order_id: str = answer.json()["order_id"]
        await self.client.matched(order_id)
        return order_id

    async def _cancel(self, order_id: str) -> int:
        """Shares that were still open."""
        key = str(uuid4())
        answer = await until_done(lambda: self.client.cancel(order_id, key))
        assert answer.status == 200, (answer.status, answer.body)
        return int(answer.json()["remaining_quantity"].partition(".")[0])

    async def _take_off_seeded(self, message: Message) -> None:
        """A part of the seeded quantity is deleted: cancel it, and place what stays."""
        wanted = message.size
        while wanted > 0:
            seeded = self.seeded[message.side, message.price].pop()
            order = await self.client.matched(seeded)
            if order["status"] not in ("new", "partially_filled"):
                continue
            open_ = await self._cancel(seeded)
            if open_ > wanted:
                await self.seed(message.side, message.price, open_ - wanted)
            wanted -= open_


def _levels(shown: list[dict[str, Any]]) -> list[Level]:
    return [(_ten_thousandths(level["price"]), int(level["quantity"].partition(".")[0])) for level in shown]


def _ten_thousandths(price: str) -> int:
    whole, _, fraction = price.partition(".")
    return int(whole) * 10_000 + int(fraction.ljust(4, "0")[:4])


async def test_the_book_follows_the_exchange_row_by_row(venue: Venue) -> None:
    """Each row agrees at the top five levels of both sides, and Postgres holds what the log gives."""
    folder = data_folder("lobster")
    messages = _messages(folder / f"{NAME}_message_10.csv")
    rows = _rows(folder / f"{NAME}_orderbook_10.csv")
    ledger = Ledger()
    async with Client(venue.url, ledger) as client:
        exchange = Exchange(client)
        await list_instrument(client, RULES)
        for side, levels in rows[0].items():
            for price, size in levels:
                await exchange.seed(side, price, size)
        agreed = 0
        for message, row in zip(messages[1:ROWS], rows[1:ROWS], strict=True):
            await exchange.carry_out(message)
            book = await exchange.book()
            for side in ("buy", "sell"):
                price, size = row[side][-1]
                missing = size - dict(book[side]).get(price, 0)
                if missing > 0:
                    await exchange.seed(side, price, missing)
            book = await exchange.book()
            for side in ("buy", "sell"):
                assert book[side][:COMPARED] == row[side][:COMPARED], f"row {agreed + 2}, {side}"
            agreed += 1
    assert agreed == ROWS - 1
    verdict = await check(addresses(venue), ledger, timeout_s=60)
    assert verdict.is_right, verdict.as_text()
