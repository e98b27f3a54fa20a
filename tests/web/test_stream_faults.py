"""Clients of `/stream` lose connections, gateways and the matching worker under load: what they heard is the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
from aiokafka import TopicPartition

from app.engine import partition_of
from app.kafka.reading import Stretch, connected_reader
from app.local.venue import Venue
from app.models.http import trade_answer
from app.models.reports import ExecutionReport, decode_report
from app.topics import EXECUTIONS
from load.followed import Followed
from load.stream import StreamClient
from tests.long import LONG
from tests.web.conftest import Api, until

SLOT = 5
CUTS = 100 if LONG else 9
BATCH = 10
PARTITIONS = 8
CLIENT = "ann"


class Listener:
    """One client, at one gateway after the other: everything that it hears of a market."""

    def __init__(self, *followed: Followed, urls: list[str]) -> None:
        self.followed = followed
        self.heard: dict[str, list[dict[str, Any]]] = {one.channel: [] for one in followed}
        self.client = StreamClient(urls, followed, self._hear)
        self.running = asyncio.create_task(self.client.run())
        self._resumed = 0  # at the last cut

    def _hear(self, followed: Followed, message: dict[str, Any]) -> None:
        if message["type"] == "update":
            self.heard[followed.channel].append(message)

    async def until(self, seq: int) -> None:
        """Return once it has everything up to this seq; raises Gap."""
        await until(
            lambda: [one.last_seq or 0 for one in self.followed],
            lambda last: min(last) >= seq or self.running.done(),
        )
        if self.running.done():
            self.running.result()

    async def cut(self, is_patient: bool) -> None:
        """Cut its connection, once it has one; if patient, once it has resumed since the last cut."""
        if is_patient:
            await until(lambda: self.followed[-1].resumed > self._resumed or self.running.done())
        connects = self.client.connects
        await until(self.client.cut)
        self._resumed = self.followed[-1].resumed
        await until(lambda: self.client.connects > connects or self.running.done())


@asynccontextmanager
async def orders_flow(api: Api, market: str, random: Random) -> AsyncIterator[None]:
    """Orders that rest, trade and are filled in parts, as long as the block lasts; a repeat makes no others."""

    async def flow() -> None:
        number = 0
        while True:
            number += 1
            orders = [_order(market, f"{number}-{count}", random) for count in range(BATCH)]
            await until(
                lambda orders=orders: api("POST", "/orders/batch", {"orders": orders}),
                lambda found: found.status == 200 and all(result["status"] == 201 for result in found.body["results"]),
            )
            await asyncio.sleep(0.02)

    flowing = asyncio.create_task(flow())
    yield
    flowing.cancel()
    assert (await asyncio.gather(flowing, return_exceptions=True))[0].__class__ is asyncio.CancelledError


def _order(market: str, key: str, random: Random) -> dict[str, str]:
    terms = {"instrument": market, "type": "limit", "quantity": str(random.randint(1, 5)), "client_order_id": key}
    side, client = random.choice(("buy", "sell")), random.choice((CLIENT, "bob"))
    return {**terms, "side": side, "client_id": client, "price": f"{random.randint(95, 105)}.00"}


async def reports_of(venue: Venue, market: str) -> list[ExecutionReport]:
    """All reports about a market, each once, as the log has them."""
    where = TopicPartition(EXECUTIONS.name, partition_of(market, PARTITIONS))
    found: dict[int, ExecutionReport] = {}
    async with connected_reader(venue.servers.broker) as reader:
        stretch = await Stretch.whole(reader, where)
        while records := await stretch.read():
            reports = [decode_report(record.value or b"") for record in records]
            found |= {report.seq: report for report in reports if report.instrument == market}
    return [found[seq] for seq in range(1, len(found) + 1)]


def assert_is_the_log(heard: dict[str, list[dict[str, Any]]], reports: list[ExecutionReport]) -> None:
    """Levels, trades, orders and fills: each of the log's, once, in order, under its seq."""
    levels = [
        (m["seq"], [(x["side"], x["price"], x["quantity"], x["orders"]) for x in m["data"]]) for m in heard["book"]
    ]
    assert levels == [
        (report.seq, [(level.side, level.price, level.quantity, level.orders) for level in report.levels])
        for report in reports
        if report.levels
    ]
    trades = [(message["seq"], message["data"]) for message in heard["trades"]]
    assert trades == [
        (report.seq, [trade_answer(report.instrument, trade, report.time) for trade in report.trades])
        for report in reports
        if report.trades
    ]
    states = [
        (message["seq"], order["order_id"], order["status"], order["filled_quantity"])
        for message in heard["orders"]
        for order in message["data"]
    ]
    assert states == [
        (report.seq, change.order_id, change.status, change.filled_quantity)
        for report in reports
        for change in report.orders
        if change.client_id == CLIENT
    ]
    fills = [
        (message["seq"], fill["trade_id"], fill["side"]) for message in heard["orders"] for fill in message["fills"]
    ]
    assert fills == [
        (report.seq, trade.trade_id, side)
        for report in reports
        for trade in report.trades
        for side, client in (("buy", trade.buy_client_id), ("sell", trade.sell_client_id))
        if client == CLIENT
    ]


async def test_a_client_cut_at_random_hears_the_log(
    venue: Venue, session: aiohttp.ClientSession, api: Api, other_api: Api, market: str
) -> None:
    """Under load, its gateway killed for good and matching killed on the way: it resumes where it was, elsewhere too.

    A second client keeps the ten best levels alone, through the same.
    """
    random = Random(market)
    await venue.start_worker("gateway", SLOT)
    await venue.wait_ready("gateway", SLOT)
    urls = [Api(session, venue.web_url("gateway", SLOT)).url, api.url, other_api.url]
    own = Followed("orders", market, client_id=CLIENT)
    all_of_it = Listener(Followed("book", market), Followed("trades", market), own, urls=urls)
    best = Listener(Followed("book", market, depth=10), urls=urls)
    try:
        await asyncio.gather(all_of_it.until(1), best.until(1))
        async with orders_flow(api, market, random):
            for number in range(CUTS):
                await asyncio.sleep(random.uniform(0, 0.1))
                if number == CUTS // 3:
                    await venue.kill("gateway", SLOT, for_good=True)
                elif number == 2 * CUTS // 3:
                    await venue.kill("matching")
                is_patient = number % 2 == 1  # others may come before the answer to the subscription
                await asyncio.gather(all_of_it.cut(is_patient), best.cut(is_patient))
        await venue.wait_ready("matching")
        last = (await api.place(instrument=market, client_id=CLIENT, price="1.00")).body["seq"]
        await asyncio.gather(all_of_it.until(last), best.until(last))

        reports = await reports_of(venue, market)
        assert reports[-1].seq == last > BATCH * CUTS
        assert_is_the_log(all_of_it.heard, reports)
        shown = (await api("GET", f"/orderbook?instrument={market}&levels=10")).body
        for listener in (all_of_it, best):
            assert listener.client.connects > CUTS and listener.client.wrong_copies == 0
            assert listener.followed[0].book is not None
            assert listener.followed[0].book.checksum() == shown["checksum"]
        assert own.resumed >= CUTS // 2
    finally:
        all_of_it.running.cancel()
        best.running.cancel()
