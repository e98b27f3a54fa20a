"""What `/stream` refuses, and to whom: garbage, too much of anything, other pages, other clients' orders."""

import asyncio
from uuid import uuid4

import aiohttp
import orjson
import pytest

from load.followed import Followed
from tests.web.conftest import INSTRUMENT, Api, Keys, until
from tests.web.sockets import connected, trade
from web.rest.stream import MAX_MESSAGE_BYTES
from web.streams.subscribing import MAX_SUBSCRIPTIONS

ASKED = 10_000
GARBAGE = {
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "deep": b"[" * 60_000,
    "no method": b'{"req_id":7}',
    "another method": b'{"method":"withdraw","params":{},"req_id":7}',
    "an unknown member": b'{"method":"subscribe","params":{"channel":"book","instrument":"X","more":1},"req_id":7}',
    "a name twice": b'{"method":"subscribe","method":"subscribe","params":{"channel":"book","instrument":"X"}}',
    "another channel": b'{"method":"subscribe","params":{"channel":"secrets","instrument":"X"},"req_id":7}',
    "a depth": b'{"method":"subscribe","params":{"channel":"book","instrument":"X","depth":3},"req_id":7}',
    "a large seq": b'{"method":"subscribe","params":{"channel":"book","instrument":"X","from_seq":1e30},"req_id":7}',
    "no market": b'{"method":"subscribe","params":{"channel":"book","instrument":"NO-SUCH"},"req_id":7}',
    "not subscribed": b'{"method":"unsubscribe","params":{"channel":"status","instrument":"BTC-USD"},"req_id":7}',
}


async def test_garbage_is_answered_and_touches_nothing(api: Api, market: str) -> None:
    """Each with an error that has a code, as text or as bytes; the subscription beside it continues."""
    followed = Followed("trades", market)
    async with connected(api) as socket:
        await socket.follow(followed)
        for name, raw in GARBAGE.items():
            await socket.raw.send_bytes(raw)
            answer = await socket.answer()
            assert answer["error"]["code"] and answer["error"]["message"], name
            assert answer["req_id"] in (7, None), name
        seq = await trade(api, market)
        await socket.until(followed, seq)


async def test_ten_thousand_subscriptions_are_not_kept(api: Api, market: str) -> None:
    """A hundred are; the rest is refused one by one, and another client of the gateway notices nothing."""
    async with connected(api) as greedy, connected(api) as other:
        followed = Followed("trades", market)
        await other.follow(followed)

        async def ask() -> None:
            for number in range(ASKED):
                params = {"channel": "orders", "instrument": market, "client_id": f"c{number}", "snapshot": False}
                text = orjson.dumps({"method": "subscribe", "params": params, "req_id": number}).decode()
                await greedy.raw.send_str(text)

        asking = asyncio.create_task(ask())
        codes: list[str | None] = []
        while len(codes) < ASKED:
            frame = orjson.loads(await greedy.raw.receive_str(timeout=20))
            if "req_id" in frame:  # and not a heartbeat
                assert frame["req_id"] == len(codes)
                codes.append(frame.get("error", {}).get("code"))
            if len(codes) == ASKED // 2:
                await other.until(followed, await trade(api, market))
        await asking
        assert codes == [None] * MAX_SUBSCRIPTIONS + ["too_many_subscriptions"] * (ASKED - MAX_SUBSCRIPTIONS)
        await other.until(followed, await trade(api, market))


async def test_a_frame_beyond_the_limit_closes_its_connection_only(api: Api, market: str) -> None:
    """10 MB: 1009, before it is in memory; the next connection is served."""
    followed = Followed("trades", market)
    async with connected(api) as hostile, connected(api) as other:
        await other.follow(followed)
        with pytest.raises((ConnectionError, aiohttp.ClientError, TypeError)):
            await hostile.raw.send_str("x" * 10_000_000)
            await hostile.raw.receive_str(timeout=20)
        await other.until(followed, await trade(api, market))


async def test_the_longest_request_is_answered_and_one_byte_more_is_not(api: Api) -> None:
    """64 KB are within the limit, as over HTTP."""
    async with connected(api) as socket:
        await socket.raw.send_str(" " * (MAX_MESSAGE_BYTES - 2) + "{}")
        assert (await socket.answer())["error"]["code"] == "malformed_request"
        with pytest.raises((ConnectionError, aiohttp.ClientError, TypeError)):
            await socket.raw.send_str(" " * (MAX_MESSAGE_BYTES - 1) + "{}")
            await socket.raw.receive_str(timeout=20)


async def test_a_foreign_page_cannot_connect(api: Api) -> None:
    """A browser says where the page is from."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(api, Origin="https://evil.test"):
            pass
    assert refused.value.status == 403


async def test_clients_see_their_own_orders_only(gate: Api, ann: Api, bob: Api, admin: Api, market: str) -> None:
    """With keys the client is the key's, and another one is refused; an admin names whom it wants."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(gate):
            pass
    assert refused.value.status == 401
    await until(lambda: ann("GET", f"/orderbook?instrument={market}"), lambda found: found.status == 200)
    async with connected(ann) as mine, connected(bob) as others, connected(admin) as all_seeing:
        own = Followed("orders", market)
        await mine.follow(own)
        await others.follow(Followed("orders", market))
        denied = await others.ask("subscribe", channel="orders", instrument=market, client_id="ann")
        seen = Followed("orders", market, client_id="ann")
        await all_seeing.follow(seen)
        placed = await ann.place(client_id=None, instrument=market)
        seq = placed.body["seq"]
        assert denied["error"]["code"] == "forbidden"
        assert (await mine.until(own, seq))[-1]["data"][0]["order_id"] == placed.body["order_id"]
        assert (await all_seeing.until(seen, seq))[-1]["data"][0]["client_id"] == "ann"
        for frame in others.messages:
            assert frame["data"] == [] and frame["fills"] == []


async def test_every_request_is_charged_to_its_key(keys: Keys, market: str) -> None:
    """A key's rate holds on the socket as over HTTP."""
    api, _ = await keys.make(f"slow-{uuid4().hex[:6]}", "viewer", rate=5)
    await asyncio.sleep(1.2)  # the bucket is full again
    async with connected(api) as socket:
        answers = [await socket.ask("subscribe", channel="status", instrument=INSTRUMENT) for _ in range(8)]
    limited = [answer["error"] for answer in answers if answer.get("error", {}).get("code") == "rate_limited"]
    assert "result" in answers[0]
    assert limited and all(error["retry_after_s"] for error in limited)
