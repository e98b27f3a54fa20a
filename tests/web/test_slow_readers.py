"""Clients that do not read, on real sockets with small buffers: closed, conflated or skipped, as they asked."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from benchmarks.readers import PONG, FastReader, SilentReader, connect
from load.followed import Followed
from tests.web.conftest import Api, until
from web.streams.client import SLOW_CONSUMER

SLOW = (("trades", "close"), ("trades", "skip"), ("book", "conflate"))
LEVELS = 1_000
ROUNDS = 40  # of a thousand trades; it takes a third of them


async def figure(api: Api, name: str) -> float:
    """A figure of the gateway."""
    async with api.session.get(f"{api.url}/metrics") as response:
        found = re.search(rf"^{name} ([0-9.e+]+)$", await response.text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def sweep(api: Api, market: str) -> dict[str, Any]:
    """A thousand levels come, and one order takes them all; the book afterwards.

    The report on that order has several parts. The order's own `seq` is that of the first ones, the book's of the last.
    """
    terms = {"instrument": market, "type": "limit", "quantity": "1", "side": "sell", "client_id": "maker"}
    orders = [
        {**terms, "price": f"{100 + number / 100:.2f}", "client_order_id": str(uuid4())} for number in range(LEVELS)
    ]
    placed = await api("POST", "/orders/batch", {"orders": orders})
    assert {result["status"] for result in placed.body["results"]} == {201}
    taken = await api.place(instrument=market, price="200.00", quantity=str(LEVELS), client_id="taker")
    assert taken.body["status"] == "filled"
    book: dict[str, Any] = (await api("GET", f"/orderbook?instrument={market}")).body
    assert not book["asks"]
    return book


async def until_dropped(api: Api, before: float) -> None:
    """Return once the gateway has closed the two clients that want to be closed when they read too slowly."""
    await until(lambda: figure(api, "websocket_dropped_total"), lambda now: now >= before + 2, timeout_s=300)


async def sweep_until(ending: asyncio.Task[None], api: Api, market: str) -> None:
    """Trade until the task ends."""
    for _ in range(ROUNDS):
        if ending.done():
            break
        await sweep(api, market)
    await ending


@asynccontextmanager
async def silent_and_fast(api: Api, market: str) -> AsyncIterator[tuple[list[SilentReader], list[FastReader]]]:
    """One silent client of each kind and one that stays silent, and two that read."""
    silent = [SilentReader(*how, [market]) for how in (*SLOW, SLOW[0])]
    fast = [FastReader("trades", market), FastReader("book", market)]
    await connect(api.url, [*silent, *fast])
    yield silent, fast
    for reader in (*silent, *fast):
        reader.leave()


async def test_a_silent_client_is_closed_conflated_or_skipped_as_it_asked(api: Api, market: str) -> None:
    """Its queue fills behind a real socket; one that reads gets everything meanwhile, and the gateway forgets nobody.

    When they read on, `close` finds 4008, `skip` the range that it lacks, and `conflate` a book that is right. One that
    does not even read 4008 is cut off: its connection would be kept for as long as it likes, with all that waits in it.
    """
    dropped, clients = await figure(api, "websocket_dropped_total"), await figure(api, "websocket_clients")
    async with silent_and_fast(api, market) as (silent, fast):
        closed, skipped, conflated, deaf = silent
        ending = asyncio.create_task(until_dropped(api, dropped))
        ending.add_done_callback(lambda _: closed.read_on())  # while what it was sent last is still kept for it
        await sweep_until(ending, api, market)
        skipped.read_on()
        conflated.read_on()
        book = await sweep(api, market)
        await until(lambda: _last(skipped, conflated, fast), lambda last: min(last) >= book["seq"])
        await until(lambda: closed.closed is not None)

        assert [reader.gaps for reader in fast] == [0, 0]
        assert [reader.closed for reader in (*silent[:3], *fast)] == [SLOW_CONSUMER, None, None, None, None]
        assert (skipped.wrong, conflated.wrong) == ("", "")
        assert skipped.followed[market].skipped > 0
        copy = conflated.followed[market].book
        assert copy is not None and copy.checksum() == book["checksum"]
        assert conflated.frames < fast[1].frames / 2
        await until(lambda: _is_cut(deaf))
    await until(lambda: figure(api, "websocket_clients"), lambda now: now <= clients)


def _last(skipped: SilentReader, conflated: SilentReader, fast: list[FastReader]) -> list[int]:
    """How far each is; heartbeats tell those of `trades` of the parts that have no trades."""
    followed: list[Followed] = [*skipped.followed.values(), *conflated.followed.values()]
    return [one.last_seq or 0 for one in followed] + [reader.last_seq for reader in fast]


def _is_cut(reader: SilentReader) -> bool:
    """Whether it is, which a client that does not read learns when it writes."""
    reader.send(PONG, b"")
    return reader.closed is not None
