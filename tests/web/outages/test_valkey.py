"""Valkey away, frozen, emptied or wrong: a key makes one order all the same."""

import asyncio
import signal
from typing import Any
from uuid import uuid4

import redis.asyncio as redis

from tests.until import until
from tests.web.conftest import INSTRUMENT, Answer
from tests.web.outages.conftest import Gateways


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
    book = await gateways.both(f"/orderbook?instrument={INSTRUMENT}&levels=1000")
    assert [level["quantity"] for level in book.body["bids"] if level["price"] == "70.00"] == ["1.0000"]


async def test_keys_hold_while_valkey_is_frozen_or_forgets_everything(gateways: Gateways) -> None:
    """Nobody waits for it; a repeat is a 201 and another body a 422, whoever of them asks Valkey first."""
    venue, first, second = gateways
    keys, terms = [str(uuid4()) for _ in range(3)], {"price": "71.00", "client_id": "frozen"}
    orders = [await first.place(key, **terms) for key in keys]
    venue.process("valkey").send(signal.SIGSTOP)
    try:
        for api in (first, second, first):
            frozen = await api.place(keys[0], path="/orders", **terms)
            assert (frozen.status, frozen.body["order_id"]) == (201, orders[0].body["order_id"])
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
