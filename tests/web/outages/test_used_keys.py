"""Keys that the engine has forgotten: memory knows them, then Postgres, and what neither knows is not risked."""

from typing import Any, NamedTuple
from uuid import uuid4

import redis.asyncio as redis
from aiokafka import AIOKafkaProducer

from app.local.venue import Venue
from app.models.commands import CancelOrder, encode_command
from app.topics import ORDERS
from tests.long import LONG
from tests.until import until
from tests.web.conftest import Answer, Api, list_market
from tests.web.outages.conftest import Gateways, until_covered

WINDOW, OTHERS = (100_000, 1_000_000) if LONG else (20, 50)
"""The ids that the engine remembers of a market, and how many commands come between an order and its repeat."""
PASSED_S = 600.0


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
        await until(lambda: gateways.first("GET", book), lambda found: found.body["seq"] >= OTHERS, PASSED_S)

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
    await until_covered(venue, used.market)
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
            assert "its outcome is not known" in refused.body["detail"]
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
    await until_covered(venue, used.market)
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
    await until_covered(venue, used.market)
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
