"""Postgres, Valkey or a gateway away, in a venue of its own: what goes on, what says no, and that it comes back."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import orjson
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaProducer

from app.engine import partition_of
from app.local.venue import Venue, running_venue
from app.models import identity
from app.models.commands import CancelOrder, encode_command
from app.streaming.failstop import EXIT_CODE
from app.topics import BOOKS_CHANGELOG, ORDERS
from tests.integration.often import OFTEN
from tests.long import LONG
from tests.web.conftest import INSTRUMENT, Answer, Api, list_market, until

PARTITIONS = 8
CHECKPOINT_S = 3.0  # after so long without orders a snapshot covers all of them
QUICK_S = 1.0
WAIT_S = 30.0
HISTORY = 500  # trades, so that a gateway has something to catch up with
PAIRS = 20
LEVELS = "&levels=1000"
WINDOW, OTHERS = (100_000, 1_000_000) if LONG else (20, 50)
"""The ids that the engine remembers of a market, and how many commands come between an order and its repeat."""


class Gateways(NamedTuple):
    """A venue and its two gateways; nothing that dies is started again by itself."""

    venue: Venue
    first: Api
    second: Api

    async def restart_second(self) -> None:
        """Kill the second gateway, start it again, wait until it is ready."""
        await self.venue.kill("gateway", 1)
        await self.venue.start_worker("gateway", 1)
        await self.venue.wait_ready("gateway", 1)

    async def both(self, path: str) -> Answer:
        """The answer that both give once they have applied the same reports."""
        one, _ = await until(
            lambda: asyncio.gather(self.first("GET", path), self.second("GET", path)),
            lambda both: (both[0].status, both[0].body) == (both[1].status, both[1].body),
        )
        return one


@pytest.fixture(scope="module")
async def gateways(tmp_path_factory: pytest.TempPathFactory, session: aiohttp.ClientSession) -> AsyncIterator[Gateways]:
    workers = {"matching": 1, "recording": 1, "gateway": 2}
    async with running_venue(tmp_path_factory.mktemp("outages"), workers, supervised=False) as venue:
        await venue.stop_worker("matching")
        await start_matching(venue)
        yield Gateways(venue, Api(session, venue.url), Api(session, venue.web_url("gateway", 1)))


async def start_matching(venue: Venue) -> None:
    """A matching worker that writes snapshots after CHECKPOINT_S, so that gateways begin with them."""
    await venue.start_worker("matching", program=OFTEN)
    await venue.wait_ready("matching")


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
    await asyncio.sleep(CHECKPOINT_S)
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
    paths = [f"/orderbook?instrument={INSTRUMENT}{LEVELS}", "/instruments", "/trades", "/trades?limit=4&page=2"]
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


async def test_what_is_not_recorded_is_not_absent(gateways: Gateways) -> None:
    """Recording stands still, and a gateway begins: it reads the rest from the log, and answers like the other one."""
    venue, first, second = gateways
    market = await list_market(first)
    old = (await first.place("before", instrument=market, side="sell", quantity="2", client_id="maker")).body
    await until(lambda: first("GET", f"/orders/{old['order_id']}/events"), lambda found: bool(found.body))
    venue.process("recording").send(signal.SIGSTOP)
    try:
        ids = [old["order_id"]]
        for number in range(10):
            sold = await first.place(f"sell-{number}", instrument=market, side="sell", client_id="maker")
            bought = await first.place(f"buy-{number}", instrument=market, client_id=f"taker-{number % 2}")
            ids += [sold.body["order_id"], bought.body["order_id"]]
        late, key = f"/orders/{ids[-1]}/cancel", {"Idempotency-Key": str(uuid4())}
        assert (await first("POST", late, headers=key)).status == 409
        await asyncio.sleep(CHECKPOINT_S)
        await gateways.restart_second()
        assert (await second("POST", late, headers=key)).status == 409

        for order_id in ids:
            assert (await gateways.both(f"/orders/{order_id}")).status == 200
        assert (await gateways.both(f"/orders/by-client-id/maker/{market}/sell-3")).status == 200
        assert (await second("GET", f"/orders/{ids[0]}")).body["status"] == "filled"
        for path, count in (
            (f"/orders?instrument={market}&limit=50", 21),
            (f"/orders?instrument={market}&client_id=maker&limit=50", 11),
            (f"/orders?instrument={market}&client_id=taker-1&limit=3", 3),
            (f"/orders?instrument={market}&client_id=taker-1&status=filled&limit=3&cursor=", None),
            (f"/trades?instrument={market}&limit=50", 10),
            (f"/trades?instrument={market}&limit=4&page=3", 2),
        ):
            found = await gateways.both(path)
            assert found.status == 200, (path, found)
            assert count is None or len(found.body) == count, path
        for path in (
            f"/orders/{ids[-1]}/events",
            f"/orders?instrument={market}&client_id=maker&status=filled&limit=50",
        ):
            behind = await second("GET", path)
            assert (behind.status, behind.body["code"]) == (503, "history_behind"), (path, behind)
            assert "recording is behind" in behind.body["detail"]
        snapshots = f"/snapshots?instrument={market}"
        snapshot = await until(lambda: first("POST", snapshots), lambda made: made.status == 200)
        for api in (first, second):
            await until(lambda api=api: api("GET", snapshots), lambda found: found.status == 503)
            ready = await api("GET", "/../../readyz")
            assert (ready.status, ready.body["status"]) == (200, "degraded")
            assert re.fullmatch(r"behind: \d+ reports are not recorded; .*", ready.body["history"])
    finally:
        await venue.kill("recording")  # it has lost its place in the group, and would end
    await venue.start_worker("recording")
    await venue.wait_ready("recording")

    for api in (first, second):
        taken = await until(lambda api=api: api("GET", snapshots), lambda found: found.status == 200)
        assert taken.body[0]["seq"] == snapshot.body["results"][0]["seq"]
        assert len((await api("GET", f"/orders/{ids[0]}/events")).body) == 3
        await until(lambda api=api: api("GET", "/../../readyz"), lambda found: found.body["history"] == "ok")
    filled = await gateways.both(f"/orders?instrument={market}&client_id=maker&status=filled&limit=50")
    assert {order["client_order_id"] for order in filled.body} == {"before"} | {f"sell-{n}" for n in range(8)}


async def test_what_a_gateway_did_not_read_again_is_503_until_it_is_recorded(gateways: Gateways) -> None:
    """Postgres was away when it began, so it knows the open orders only: nothing that exists is 404."""
    venue, first, second = gateways
    market = await list_market(first)
    await venue.kill("recording")
    sold = await first.place(instrument=market, side="sell", client_id="seller")
    await first.place(instrument=market, client_id="buyer")
    path = f"/orders/{sold.body['order_id']}"
    cancel, amend = {"Idempotency-Key": str(uuid4())}, {"Idempotency-Key": str(uuid4())}
    assert (await first("POST", f"{path}/cancel", headers=cancel)).status == 409
    rests = f"/orders/{(await first.place(instrument=market)).body['order_id']}"
    refused = await first("PATCH", rests, {"price": "100.001"}, headers=amend)
    await asyncio.sleep(CHECKPOINT_S)
    await venue.stop_worker("postgres")
    try:
        await gateways.restart_second()
    finally:
        await venue.servers.start()
    paths = [path, f"{path}/events", f"/orders?instrument={market}", f"/trades?instrument={market}"]
    for asked in paths:
        behind = await until(
            lambda asked=asked: second("GET", asked), lambda found: found.body["code"] != "history_unavailable"
        )
        assert (behind.status, behind.body["code"]) == (503, "history_behind"), asked
    assert (await second("POST", f"{path}/cancel", headers=cancel)).status == 503
    again = await second("PATCH", rests, {"price": "100.001"}, headers=amend)
    assert (again.status, again.body) == (422, refused.body)
    assert (await second("GET", f"/orders/{sold.body['order_id'][:8]}-0000-8000-8000-000000000000")).status == 503
    await venue.start_worker("recording")
    await venue.wait_ready("recording")
    await until(lambda: second("GET", "/../../readyz"), lambda found: found.body["history"] == "ok")
    for asked in paths:
        found = await gateways.both(asked)
        assert (found.status, bool(found.body)) == (200, True), asked
    assert (await second("POST", f"{path}/cancel", headers=cancel)).status == 409


async def test_what_is_not_matched_is_not_absent(gateways: Gateways) -> None:
    """An order that another gateway has accepted, while the engine stands still: 503, and then the order."""
    venue, first, second = gateways
    market = await list_market(first)
    await first.place(instrument=market)
    unknown = f"/orders/{(await first.place(instrument=market)).body['order_id'][:8]}-0000-8000-8000-000000000000"
    venue.process("matching").send(signal.SIGSTOP)
    try:
        accepted = await first.place("unseen", path="/orders", instrument=market)
        path = f"/orders/{accepted.body['order_id']}"
        assert (await first("GET", path)).body["status"] == "pending_new"
        for asked in (path, f"{path}/events", f"/orders/by-client-id/ann/{market}/unseen", unknown):
            behind = await second("GET", asked)
            assert (behind.status, behind.body["code"]) == (503, "matching_behind"), asked
    finally:
        venue.process("matching").send(signal.SIGCONT)
    assert (await until(lambda: second("GET", path), lambda found: found.status != 503)).body["status"] == "new"
    assert (await until(lambda: second("GET", unknown), lambda found: found.status != 503)).status == 404


async def test_an_offset_without_a_command_is_not_waited_for(gateways: Gateways) -> None:
    """A transaction leaves one at the end of the log: what does not exist is 404 all the same."""
    venue, first, _ = gateways
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, transactional_id=str(uuid4()))
    await producer.start()
    async with producer.transaction():
        await producer.send(ORDERS.name, b"no command", INSTRUMENT.encode())
    await producer.stop()
    asked = f"/orders/{identity.instrument_tag(INSTRUMENT).hex()}-0000-8000-8000-000000000000"
    assert (await until(lambda: first("GET", asked), lambda found: found.status != 503)).status == 404


async def test_one_key_a_hundred_times_while_valkey_is_killed(gateways: Gateways) -> None:
    """Over two gateways: one order, one id, every answer 201; and so it stays when Valkey is back, empty."""
    venue, first, second = gateways
    key, terms = str(uuid4()), {"price": "70.00", "client_id": "hundred"}

    async def ask(number: int) -> Answer:
        await asyncio.sleep(number * 0.003)
        return await (first, second)[number % 2].place(key, path="/orders", **terms)

    asking = [asyncio.create_task(ask(number)) for number in range(100)]
    await asyncio.sleep(0.15)
    await venue.kill("valkey")
    answers = await asyncio.gather(*asking)
    during = await asyncio.gather(*(api.place(key, path="/orders", **terms) for api in (first, second)))
    await venue.servers.start()
    after = await first.replay(key, **terms)

    every = [*answers, *during, after]
    assert {answer.status for answer in every} == {201}
    assert len({answer.body["order_id"] for answer in every}) == 1
    book = await gateways.both(f"/orderbook?instrument={INSTRUMENT}{LEVELS}")
    assert [level["quantity"] for level in book.body["bids"] if level["price"] == "70.00"] == ["1.0000"]


async def test_keys_hold_while_valkey_is_frozen_or_forgets_everything(gateways: Gateways) -> None:
    """Nobody waits long; a repeat is a 201 and another body a 422, whoever of them asks Valkey first."""
    venue, first, second = gateways
    keys, terms = [str(uuid4()) for _ in range(3)], {"price": "71.00", "client_id": "frozen"}
    orders = [await first.place(key, **terms) for key in keys]
    venue.process("valkey").send(signal.SIGSTOP)
    try:
        for api in (first, second, first):
            started = time.monotonic()
            frozen = await api.place(keys[0], path="/orders", **terms)
            assert (frozen.status, frozen.body["order_id"]) == (201, orders[0].body["order_id"])
            assert time.monotonic() - started < QUICK_S
            assert (await api.place(keys[0], quantity="2", **terms)).status == 422
            assert (await api.place(**terms)).status == 201
    finally:
        venue.process("valkey").send(signal.SIGCONT)
    for api in (first, second):
        await until(lambda api=api: api("GET", "/../../readyz"), lambda found: found.body["valkey"] == "ok")
        again = await api.replay(keys[0], **terms)
        assert (again.status, again.headers["Idempotent-Replayed"]) == (201, "true")

    async with redis.Redis.from_url(venue.servers.redis_url) as valkey:
        await valkey.flushall()
    await gateways.restart_second()
    for api in (second, first):
        other = await api.place(keys[1], quantity="2", **terms)
        assert (other.status, other.body["code"]) == (422, "duplicate_order")
        right = await api.replay(keys[1], **terms)
        assert (right.status, right.headers["Idempotent-Replayed"]) == (201, "true")
        assert right.body["order_id"] == orders[1].body["order_id"]
    quantities = [(await gateways.both(f"/orders/{order.body['order_id']}")).body["quantity"] for order in orders]
    assert quantities == ["1.0000"] * 3


async def test_a_key_that_never_became_an_order_is_free(gateways: Gateways) -> None:
    """Valkey may remember a request that was refused after it was asked: the engine knows better."""
    venue, first, _ = gateways
    known, key, body = str(uuid4()), str(uuid4()), {"price": "72.00", "client_id": "refused"}
    computed = (await first.place(known, **body)).body["order_id"]
    async with redis.Redis.from_url(venue.servers.redis_url) as valkey:

        async def remembered() -> int:
            await first.replay(known, **body)  # again, as a late Valkey is not waited for
            return int(await valkey.exists(f"order:{computed}"))

        assert await until(remembered, bool)
        unused = await first.place(key, **body)
        await valkey.set(f"order:{unused.body['order_id']}", "0" * 16)
    again = await first.replay(key, **body)
    assert (again.status, again.headers["Idempotent-Replayed"]) == (201, "true")


async def forget(venue: Venue, market: str) -> None:
    """Let so many commands pass, straight from Kafka, that the engine has forgotten every finished order's key."""
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker, enable_idempotence=True)
    await producer.start()
    try:
        for first in range(0, OTHERS, 10_000):
            for number in range(first, min(first + 10_000, OTHERS)):
                command = CancelOrder(market, str(uuid4()), f"other-{uuid4().hex[:8]}-{number}")
                await producer.send(ORDERS.name, encode_command(command), market.encode())
            await producer.flush()
    finally:
        await producer.stop()


class Used(NamedTuple):
    """Keys that were used in a market: for an order that was filled, one that was canceled, and one that is open."""

    market: str
    orders: dict[str, dict[str, Any]]
    """Key -> its order's fields."""
    ids: dict[str, str]

    @classmethod
    async def begin(cls, api: Api, **rules: Any) -> "Used":
        market = await list_market(api, id_window_count=WINDOW, **rules)
        await api.place(instrument=market, side="sell", client_id="maker", quantity="9")
        filled, canceled, rests = (str(uuid4()) for _ in range(3))
        orders = {
            filled: {"type": "market", "price": None},
            canceled: {"price": "50.00"},
            rests: {"price": "51.00"},
        }
        ids = {}
        for key, terms in orders.items():
            placed = await api.place(key, instrument=market, **terms)
            ids[key] = placed.body["order_id"]
        await api("DELETE", f"/orders/{ids[canceled]}")
        return cls(market, orders, ids)

    async def others_pass(self, gateways: Gateways) -> None:
        await forget(gateways.venue, self.market)
        book = f"/orderbook?instrument={self.market}"
        async with asyncio.timeout(600):
            while (await gateways.first("GET", book)).body["seq"] < OTHERS:  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.1)

    async def repeat(self, api: Api, key: str, **others: Any) -> Answer:
        return await api.place(key, path="/orders", instrument=self.market, **{**self.orders[key], **others})

    async def assert_one_life(self, api: Api) -> None:
        """Each repeat gets its first order and another body is refused."""
        for key, order_id in self.ids.items():
            again = await self.repeat(api, key)
            assert (again.status, again.body["order_id"]) == (201, order_id)
            assert again.headers["Idempotent-Replayed"] == "true"
            waited = await api.place(key, instrument=self.market, **self.orders[key])
            assert (waited.status, waited.body["order_id"]) == (201, order_id)
            other = await self.repeat(api, key, quantity="3")
            assert (other.status, other.body["code"]) == (422, "duplicate_order")
        trades = (await api("GET", f"/trades?instrument={self.market}")).body
        assert [trade["quantity"] for trade in trades] == ["1.0000"]
        for order_id in self.ids.values():
            statuses = [event["status"] for event in (await api("GET", f"/orders/{order_id}/events")).body]
            assert statuses in (["filled"], ["new", "canceled"], ["new"])


async def test_a_key_makes_one_order_whatever_was_traded_since(gateways: Gateways) -> None:
    """Also where the engine has forgotten it: memory knows, then Postgres; without Postgres nothing is risked."""
    venue, first, second = gateways
    used = await Used.begin(first)
    await used.others_pass(gateways)
    await asyncio.sleep(CHECKPOINT_S)
    await used.assert_one_life(first)
    await gateways.restart_second()
    await used.assert_one_life(second)

    await venue.stop_worker("postgres")
    try:
        await gateways.restart_second()
        for key in list(used.ids)[:2]:
            assert (await used.repeat(first, key)).status == 201
            refused = await used.repeat(second, key)
            assert (refused.status, refused.body["code"]) == (503, "history_unavailable")
            assert "what became of it cannot be told" in refused.body["detail"]
        assert (await second.place(path="/orders", instrument=used.market, price="1")).status == 201
    finally:
        await venue.servers.start()
    await until(lambda: used.repeat(second, next(iter(used.ids))), lambda found: found.status == 201)
    await used.assert_one_life(second)


async def test_a_key_makes_one_order_while_recording_is_behind(gateways: Gateways) -> None:
    """What Postgres has not recorded yet is not absent: a gateway that began after it reads it again from the log."""
    venue, first, second = gateways
    await venue.kill("recording")
    used = await Used.begin(first)
    await used.others_pass(gateways)
    await asyncio.sleep(CHECKPOINT_S)
    await gateways.restart_second()
    for key, order_id in used.ids.items():
        again = await used.repeat(second, key)
        assert (again.status, again.body["order_id"]) == (201, order_id)
    await venue.start_worker("recording")
    await venue.wait_ready("recording")
    await until(lambda: second("GET", "/../../readyz"), lambda found: found.body["history"] == "ok")
    await used.assert_one_life(second)


async def test_a_second_life_of_a_key_is_kept_apart_from_the_first(gateways: Gateways) -> None:
    """With Valkey's memory lost, the gateway's too and the engine's window over: one id, two orders in lists."""
    venue, first, second = gateways
    used = await Used.begin(first)
    await used.others_pass(gateways)
    filled = next(iter(used.ids))
    await asyncio.sleep(CHECKPOINT_S)
    async with redis.Redis.from_url(venue.servers.redis_url) as valkey:
        await valkey.flushall()
    await gateways.restart_second()
    again = await second.place(filled, instrument=used.market, type="limit", price="52.00", quantity="2")
    assert (again.status, again.body["order_id"]) == (201, used.ids[filled])

    path = f"/orders/{used.ids[filled]}"
    listed = f"/orders?client_id=ann&instrument={used.market}&limit=100"
    for api in (first, second):
        found = await until(lambda api=api: api("GET", path), lambda found: found.body.get("price") == "52.00")
        assert (found.body["status"], found.body["quantity"]) == ("new", "2.0000")
        events = await until(
            lambda api=api: api("GET", f"{path}/events"), lambda found: found.body[-1]["quantity"] == "2.0000"
        )
        assert [event["status"] for event in events.body] == ["new"]
        orders = await until(lambda api=api: api("GET", listed), lambda found: len(found.body) == 4)
        both = [order for order in orders.body if order["order_id"] == used.ids[filled]]
        assert [(order["status"], order["quantity"]) for order in both] == [("new", "2.0000"), ("filled", "1.0000")]
    repeated = await second.replay(filled, instrument=used.market, price="52.00", quantity="2")
    assert repeated.body["order_id"] == used.ids[filled]


async def test_a_key_that_valkey_forgot_is_remembered_by_the_gateway(gateways: Gateways) -> None:
    """The same order is a repeat, another one is refused: no 201 for an order that will never be."""
    venue, first, second = gateways
    key, terms = str(uuid4()), {"price": "73.00", "client_id": "forgotten"}
    placed = await first.place(key, **terms)
    await until(lambda: second("GET", f"/orders/{placed.body['order_id']}"), lambda found: found.body.get("seq"))
    for api in (first, second):
        for quantity, status in (("2", 422), ("1", 201)):
            async with redis.Redis.from_url(venue.servers.redis_url) as valkey:
                await valkey.delete(f"order:{placed.body['order_id']}")
            again = await api.place(key, path="/orders", quantity=quantity, **terms)
            assert again.status == status
        assert again.headers["Idempotent-Replayed"] == "true"


ANYTHING: list[Any] = [b"\xff\xfe", b"", b"0" * 16, b"x" * 1_000, b"\x00", "list", "hash", "fingerprint of another"]


async def test_whatever_valkey_says_a_key_makes_one_order(gateways: Gateways) -> None:
    """Broken, foreign and false values, other types: the same order is a 201, another a 422, and nobody dies of it."""
    venue, first, second = gateways
    other, terms = str(uuid4()), {"price": "74.00", "client_id": "anything"}
    async with redis.Redis.from_url(venue.servers.redis_url) as valkey:
        placed = await first.place(other, quantity="2", **terms)
        false = await valkey.get(f"order:{placed.body['order_id']}")
        for value in ANYTHING:
            key = str(uuid4())
            order_id = (await first.place(key, **terms)).body["order_id"]
            for api in (first, second):
                name = f"order:{order_id}"
                await valkey.delete(name)
                if value == "list":
                    await valkey.rpush(name, "a")
                elif value == "hash":
                    await valkey.hset(name, "a", "b")
                else:
                    await valkey.set(name, false if isinstance(value, str) else value)
                again = await api.place(key, path="/orders", **terms)
                assert (again.status, again.body["order_id"]) == (201, order_id), value
                refused = await api.place(key, path="/orders", quantity="2", **terms)
                assert (refused.status, refused.body["code"]) == (422, "duplicate_order"), value
    for api in (first, second):
        assert (await api("GET", "/../../readyz")).body["valkey"] == "ok"


async def test_without_postgres_orders_books_and_recent_trades_go_on(gateways: Gateways) -> None:
    """What only Postgres knows is a 503 with a sentence; when it is back, everything is, without a restart."""
    venue, first, second = gateways
    await venue.stop_worker("postgres")
    try:
        sold = await first.place("away-1", side="sell", price="60.00", client_id="away")
        bought = await first.place("away-2", price="50.00", client_id="away")
        order_id = bought.body["order_id"]
        assert (sold.body["status"], bought.body["status"]) == ("filled", "new")
        await until(lambda: second("GET", f"/orders/{order_id}"), lambda found: found.status == 200)
        for path in (
            f"/orders/{order_id}",
            f"/orders/by-client-id/away/{INSTRUMENT}/away-2",
            "/orders?client_id=away&limit=2",
            f"/orders?instrument={INSTRUMENT}&limit=2",
            f"/orders?client_id=away&instrument={INSTRUMENT}&status=filled&limit=1",
            "/trades?limit=1",
            f"/orderbook?instrument={INSTRUMENT}",
        ):
            assert (await gateways.both(path)).status == 200, path
        listed = (await second("GET", "/orders?client_id=away&limit=2")).body
        assert [order["client_order_id"] for order in listed] == ["away-2", "away-1"]
        assert (await second("DELETE", f"/orders/{order_id}")).body["status"] == "canceled"
        await until(lambda: first("GET", f"/orders/{order_id}"), lambda found: found.body["status"] == "canceled")

        for path in (f"/orders/{order_id}/events", f"/snapshots?instrument={INSTRUMENT}", f"/orders/{uuid4()}"):
            for api in (first, second):
                refused = await api("GET", path)
                assert (refused.status, refused.body["code"]) == (503, "history_unavailable"), path
                assert "order entry and books go on" in refused.body["detail"]
        # The second began with a snapshot: what this client did before, it cannot know.
        assert (await second("GET", "/orders?client_id=seller&limit=50")).status == 503
        ready = await until(lambda: second("GET", "/../../readyz"), lambda found: found.status == 200)
        assert ready.body["status"] == "degraded"
    finally:
        await venue.servers.start()

    for api in (first, second):
        events = await until(
            lambda api=api: api("GET", f"/orders/{order_id}/events"),
            lambda found: found.status == 200 and len(found.body) == 2,
        )
        assert [event["status"] for event in events.body] == ["new", "canceled"]
        assert (await api("GET", "/orders?client_id=seller&limit=50")).status == 200


async def test_a_foreign_changelog_ends_a_gateway_with_one_sentence(gateways: Gateways) -> None:
    """It would show books of another market: better none."""
    venue, first, _ = gateways
    await venue.kill("gateway", 1)
    producer = AIOKafkaProducer(bootstrap_servers=venue.servers.broker)
    await producer.start()
    floor, partition = 10**15, partition_of(INSTRUMENT, PARTITIONS)
    value = b'{"floor":%d,"log_id":"%s","named":{},"executions":0}' % (floor, str(uuid4()).encode())
    await producer.send_and_wait(BOOKS_CHANGELOG.name, value, f"_manifest@{floor}".encode(), partition)
    await producer.stop()
    process = await venue.start_worker("gateway", 1)

    assert await asyncio.wait_for(process.wait(), 60) == EXIT_CODE
    said = venue.log("gateway-1").read_text().splitlines()[-1]
    assert "the books are those of another orders log" in said
    assert (await first("GET", f"/orderbook?instrument={INSTRUMENT}")).status == 200
