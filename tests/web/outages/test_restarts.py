"""A gateway that is killed and begins again: with snapshots and the log it answers as one that has seen everything."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
from aiokafka import AIOKafkaProducer

from app.engine import partition_of
from app.streaming.failstop import EXIT_CODE
from app.topics import BOOKS_CHANGELOG
from tests.until import until
from tests.web.conftest import INSTRUMENT, Api, list_market
from tests.web.outages.conftest import PARTITIONS, Gateways, until_covered

WAIT_S = 60.0
END_TIMEOUT_S = 120.0


HISTORY = 500  # trades, so that a gateway has something to catch up with


PAIRS = 20


async def all_by_cursor(api: Api, path: str, name: str) -> list[Any]:
    """A whole list, in pages of seven."""
    found, cursor = [], ""
    while cursor is not None:
        page = (await api("GET", f"{path}&limit=7&cursor={cursor}")).body
        found += page[name]
        cursor = page["next_cursor"]
    return found


async def test_a_restarted_gateway_answers_as_one_that_has_seen_everything(gateways: Gateways) -> None:
    """Book, trades, orders by id, by key and in lists: those from before its snapshot, from after, and both at once."""
    venue, first, second = gateways
    placed = [await first.place(f"old-{n}", price=f"{90 + n % 7}.00", client_id=f"c{n % 3}") for n in range(24)]
    placed += [await first.place(f"sell-{n}", side="sell", price="95.00", client_id="seller") for n in range(9)]
    placed.append(await first.place("ice", price="80.00", quantity="5", display_quantity="0.5"))
    placed.append(await first.place("stop", type="stop_limit", stop_price="200", price="201", client_id="c1"))
    await until_covered(venue, INSTRUMENT)
    await gateways.restart_second()
    assert re.search(r"[0-9] snapshots loaded, reading on at", venue.log("gateway-1").read_text())
    placed += [await first.place(f"new-{n}", side="sell", price="94.00", client_id="seller") for n in range(3)]
    assert {answer.status for answer in placed} == {201}
    ids = [answer.body["order_id"] for answer in placed]

    ended = await second("DELETE", f"/orders/{ids[0]}")
    assert (ended.body["status"], ended.body["client_order_id"]) == ("canceled", "old-0")
    assert ended.body["created_at"] == placed[0].body["created_at"]
    recorded = f"/orders?instrument={INSTRUMENT}&status=canceled"
    await until(lambda: first("GET", recorded), lambda found: found.body and found.body[0] == ended.body)
    for order_id in ids:
        assert (await gateways.both(f"/orders/{order_id}")).body["client_order_id"] is not None
    paths = [f"/orderbook?instrument={INSTRUMENT}&levels=1000", "/instruments", "/trades", "/trades?limit=4&page=2"]
    paths += [f"/orders/by-client-id/ann/{INSTRUMENT}/ice", "/orders?client_id=seller&status=filled&limit=2&page=2"]
    for path in paths:
        assert (await gateways.both(path)).body, path
    for name, path in (
        ("orders", "/orders?client_id=seller"),
        ("orders", f"/orders?client_id=c1&instrument={INSTRUMENT}"),
        ("trades", f"/trades?instrument={INSTRUMENT}"),
    ):
        lists = [await all_by_cursor(api, path, name) for api in (first, second)]
        assert lists[0] == lists[1]
        assert len(lists[0]) == len((await first("GET", f"{path}&limit=1000")).body) > 7
    await gateways.both(f"/orders?client_id=seller&limit=1000&cursor={'A' * 12}")


async def test_a_stream_has_every_trade_from_its_handshake_on(gateways: Gateways) -> None:
    """A gateway that is killed under load refuses streams until it has caught up, and whatever else it cannot know."""
    venue, first, second = gateways
    market = await list_market(first)
    trading = asyncio.create_task(trade_for_ever(first, market))

    async def newest() -> int:
        trades = (await first("GET", f"/trades?instrument={market}&limit=1")).body
        return trades[0]["seq"] if trades else 0

    await until(newest, lambda seq: seq > HISTORY)
    await venue.kill("gateway", 1)
    await venue.start_worker("gateway", 1)
    socket, refusals = await handshake(second)
    begun = await newest()
    await until(newest, lambda seq: seq > begun + HISTORY)
    trading.cancel()
    await asyncio.gather(trading, return_exceptions=True)
    end, seqs = await newest(), []
    while not seqs or seqs[-1] < end:
        trade = orjson.loads(await asyncio.wait_for(socket.receive_str(), WAIT_S))
        seqs += [trade["seq"]] if trade["instrument"] == market else []
    await socket.close()

    assert seqs[0] <= begun + 1
    assert seqs == list(range(seqs[0], end + 1))
    assert refusals <= {(503, "not_ready")}


async def trade_for_ever(api: Api, market: str) -> None:
    """Orders that fill each other, batch after batch."""
    terms = {"instrument": market, "type": "limit", "price": "100.00", "quantity": "1"}
    while True:
        orders = [
            {**terms, "side": side, "client_id": side, "client_order_id": str(uuid4())}
            for _ in range(PAIRS)
            for side in ("sell", "buy")
        ]
        await api("POST", "/orders/batch", {"orders": orders})


async def handshake(api: Api) -> tuple[aiohttp.ClientWebSocketResponse, set[tuple[int, str]]]:
    """The stream of all trades, as soon as the gateway gives it, and how it refused this and other calls before."""
    refusals: set[tuple[int, str]] = set()
    while True:
        try:
            for path in ("/instruments", "/trades", f"/orderbook?instrument={INSTRUMENT}"):
                answer = await api("GET", path)
                refusals |= {(answer.status, answer.body["code"])} if answer.status != 200 else set()
            return await api.session.ws_connect(f"{api.url}/ws/trades"), refusals
        except aiohttp.WSServerHandshakeError as refusal:
            refusals.add((refusal.status, "not_ready"))
        except (aiohttp.ClientConnectionError, aiohttp.ClientOSError):
            pass
        await asyncio.sleep(0.005)


async def test_a_foreign_changelog_ends_a_gateway_with_one_sentence(gateways: Gateways) -> None:
    """It would show books of another market: better none."""
    venue, first, _ = gateways
    await venue.kill("gateway", 1)
    floor, partition = 10**15, partition_of(INSTRUMENT, PARTITIONS)
    value = b'{"floor":%d,"log_id":"%s","named":{},"executions":0}' % (floor, str(uuid4()).encode())

    async with AIOKafkaProducer(bootstrap_servers=venue.servers.broker) as producer:
        await producer.send_and_wait(BOOKS_CHANGELOG.name, value, f"_manifest@{floor}".encode(), partition)
        process = await venue.start_worker("gateway", 1)
        assert await asyncio.wait_for(process.wait(), END_TIMEOUT_S) == EXIT_CODE
        await producer.send_and_wait(BOOKS_CHANGELOG.name, None, f"_manifest@{floor}".encode(), partition)
    said = venue.log("gateway-1").read_text().splitlines()[-1]
    assert "the changelog is that of another orders log" in said
    assert (await first("GET", f"/orderbook?instrument={INSTRUMENT}")).status == 200
    await gateways.restart_second()
