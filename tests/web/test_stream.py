"""The socket `/stream` against real gateways: subscriptions, refusals, limits, keys, and two gateways in turn."""

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import pytest

from app.local.venue import Venue
from load.followed import Followed
from load.stream import StreamClient
from tests.web.conftest import INSTRUMENT, Api, Keys, public, until
from tests.web.contract import STREAMS as DOCUMENT
from tests.web.contract import complaint_about
from web.rest.stream import MAX_MESSAGE_BYTES
from web.streams.client import GOING_AWAY
from web.streams.subscribing import MAX_SUBSCRIPTIONS

SLOT = 5
STREAMS = Path(__file__).parents[2] / "docs" / "STREAMS.md"
BROWSER = re.findall(r"```js\n(.*?)```", STREAMS.read_text(), re.DOTALL)
NODE = shutil.which("node")
PYTHON = re.findall(r"```python\n(.*?)```", STREAMS.read_text(), re.DOTALL)
DRAIN_S = 1.0
WRONG = Decimal("1.00")
CUTS, TRADES = 20, 5


class Socket:
    """A connection to /stream: requests are answered in order, other messages wait in `messages`."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.raw, self.messages, self._answers = raw, list[dict[str, Any]](), 0

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request; its answer."""
        self._answers += 1
        await self.raw.send_str(orjson.dumps({"method": method, "params": params, "req_id": self._answers}).decode())
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next answer."""
        while True:
            frame = await self.receive()
            if "req_id" in frame:
                return frame
            self.messages.append(frame)

    async def receive(self) -> dict[str, Any]:
        """The next frame, which is held to the document."""
        frame = orjson.loads(await self.raw.receive_str(timeout=20))
        assert (wrong := complaint_about(frame)) is None, wrong
        return frame

    async def follow(self, followed: Followed) -> dict[str, Any]:
        """Subscribe; the result."""
        answer = await self.ask("subscribe", **followed.request(0)["params"])
        followed.begin(answer["result"])
        return answer["result"]

    async def until(self, followed: Followed, seq: int) -> list[dict[str, Any]]:
        """What one subscription gets until it has this seq; raises Gap."""
        taken = []
        while followed.last_seq is None or followed.last_seq < seq:
            frame = self.messages.pop(0) if self.messages else await self.receive()
            if frame.get("channel") == followed.channel:
                followed.take(frame)
                taken.append(frame)
        return taken


@asynccontextmanager
async def connected(api: Api, **headers: str) -> AsyncIterator[Socket]:
    """A socket of a gateway."""
    async with api.session.ws_connect(f"{api.url}/stream", headers={**api.authorization, **headers}) as raw:
        yield Socket(raw)


async def trade(api: Api, market: str, price: str = "100.00") -> int:
    """Two orders that trade; the seq of the report with the trade."""
    await api.place(instrument=market, side="sell", price=price, client_id="maker")
    return (await api.place(instrument=market, price=price, client_id="taker")).body["seq"]


async def test_a_subscription_begins_with_a_snapshot_and_continues(api: Api, market: str) -> None:
    """B10: the assignment's names too; the copy is GET /orderbook at the same seq, with the same checksum."""
    async with connected(api) as socket:
        followed = Followed("book", market)
        answer = await socket.ask("subscribe", channel="orderbook_deltas", instrument=market)
        followed.begin(answer["result"])
        for price in range(90, 103):
            placed = await api.place(instrument=market, price=f"{price}.00")
        seq = (await api.place(instrument=market, side="sell", price="100.00", quantity="5")).body["seq"]
        await socket.until(followed, seq)
        book = (await api("GET", f"/orderbook?instrument={market}&levels=100")).body
    assert placed.status == 201 and answer["result"]["recovered"] is False
    assert (book["seq"], book["checksum"]) == (followed.last_seq, followed.book.checksum())
    for side, name in (("buy", "bids"), ("sell", "asks")):
        copy = followed.book.best_first(side)
        assert [(level["price"], level["quantity"]) for level in copy] == [
            (level["price"], level["quantity"]) for level in book[name]
        ]


async def test_the_seq_of_every_answer_is_the_streams(api: Api, market: str) -> None:
    """In the body, or for a list in X-Seq: order, trades, orders, events, book, instrument, mass cancel, cancel."""
    async with connected(api) as socket:
        followed = {name: Followed(name, market) for name in ("trades", "status")}
        followed["orders"] = Followed("orders", market, client_id="taker")
        for one in followed.values():
            await socket.follow(one)
        seq = await trade(api, market)
        trades = await socket.until(followed["trades"], seq)
        lists = [await api("GET", f"/{what}?instrument={market}") for what in ("trades", "orders", "snapshots")]
        pages = [await api("GET", f"/{what}?instrument={market}&cursor=") for what in ("trades", "orders")]
        order_id = lists[1].body[0]["order_id"]
        order = await api("GET", f"/orders/{order_id}")
        events = await until(lambda: api("GET", f"/orders/{order_id}/events"), lambda found: found.status == 200)
        assert [int(answer.headers["X-Seq"]) for answer in (*lists, events)] == [seq] * 4
        assert [page.body["seq"] for page in pages] == [seq] * 2
        assert (trades[-1]["seq"], order.body["seq"]) == (seq, seq)
        assert trades[-1]["data"] == [{**found, "aggressor_side": "buy"} for found in lists[0].body]
        orders = await socket.until(followed["orders"], seq)
        assert (orders[-1]["data"][0]["order_id"], orders[-1]["data"][0]["seq"]) == (order_id, seq)
        halted = await api("POST", f"/instruments/{market}/halt", None)
        told = await socket.until(followed["status"], halted.body["seq"])
        assert (told[-1]["seq"], told[-1]["data"][0]["market_status"]) == (halted.body["seq"], "halted")
        canceled = (await api("DELETE", f"/orders?instrument={market}&client_id=taker")).body["results"][0]
        assert canceled["seq"] == halted.body["seq"] + 1
        assert "X-Seq" not in (await api("GET", "/trades")).headers


async def test_a_stream_is_resumed_at_the_other_gateway(api: Api, other_api: Api, market: str) -> None:
    """With what happened between, also what its memory has never seen; the position is all that the client needs."""
    followed = [Followed("book", market), Followed("trades", market), Followed("orders", market, client_id="taker")]
    async with connected(api) as socket:
        for one in followed:
            await socket.follow(one)
        seq = await trade(api, market)
        for one in followed:
            socket.messages += await _all_until(socket, one, seq)
    seq = await trade(api, market, "101.00")
    async with connected(other_api) as socket:
        for one in followed:
            assert (await socket.follow(one))["recovered"]
        for one in followed:
            messages = await _all_until(socket, one, seq)
            assert [message["seq"] for message in messages if message["type"] == "update"][-1] == seq
    book = (await other_api("GET", f"/orderbook?instrument={market}")).body
    assert book["checksum"] == followed[0].book.checksum()


async def test_a_bust_is_told_with_fees_on_every_stream(api: Api, market: str) -> None:
    """On `trades`, `orders` and /ws/trades, under one seq; the fills before it had their fees, the trade had none."""
    await api("PUT", f"/instruments/{market}/fees", {"maker": "-1", "taker": "10"})
    followed = [Followed("trades", market), Followed("orders", market, client_id="taker")]
    async with connected(api) as socket, api.session.ws_connect(f"{api.url}/ws/trades?instrument={market}") as old:
        for one in followed:
            await socket.follow(one)
        seq = await trade(api, market)
        trades, orders = [await _all_until(socket, one, seq) for one in followed]
        (fill,) = orders[-1]["fills"]
        assert (fill["fee"], orders[-1]["data"][0]["fees"]) == ("0.10000000", "0.10000000")
        assert not any("fee" in name for name in trades[-1]["data"][0])
        busted = (await api("POST", f"/trades/{fill['trade_id']}/bust", {"reason": "an error"})).body
        told = [(await _all_until(socket, one, busted["seq"]))[-1] for one in followed]
        bust = {"trade_id": fill["trade_id"], "instrument": market, "seq": 1, "busted_at": busted["busted_at"]}
        assert [(message["seq"], message["data"], message["busts"]) for message in told] == [
            (busted["seq"], [], [bust])
        ] * 2
        frames = [orjson.loads(await old.receive_str(timeout=20)) for _ in range(2)]
        assert frames == [trades[-1]["data"][0], bust]


async def _all_until(socket: Socket, followed: Followed, seq: int) -> list[dict[str, Any]]:
    """What one subscription gets until then; what others get stays."""
    mine = [frame for frame in socket.messages if frame.get("channel") == followed.channel]
    socket.messages = [frame for frame in socket.messages if frame.get("channel") != followed.channel]
    for frame in mine:
        followed.take(frame)
    while followed.last_seq < seq:
        frame = await socket.receive()
        if frame.get("channel") == followed.channel:
            followed.take(frame)
            mine.append(frame)
        else:
            socket.messages.append(frame)
    return mine


async def test_what_a_restarted_gateway_never_saw_comes_from_the_log(
    venue: Venue, session: aiohttp.ClientSession, api: Api, market: str
) -> None:
    """Its memory begins with snapshots; what came before them is read from Kafka, message by message."""
    first = [await trade(api, market, f"{100 + number}.00") for number in range(3)]
    await api("POST", f"/snapshots?instrument={market}", None)
    await venue.start_worker("gateway", SLOT, {"DRAIN_S": str(DRAIN_S)})
    try:
        await venue.wait_ready("gateway", SLOT)
        late = Api(session, venue.web_url("gateway", SLOT))
        last = await trade(api, market, "110.00")
        followed = Followed("trades", market, from_seq=1)
        async with connected(late) as socket, connected(late) as other:
            assert (await socket.follow(followed))["first_seq"] == 1
            messages = await socket.until(followed, last)
            stopping = asyncio.create_task(venue.stop_worker("gateway", SLOT))
            notice = await other.receive()
            end = await other.raw.receive(timeout=20)
            await stopping
        assert [message["seq"] for message in messages if message["type"] == "update"] == [*first, last]
        assert notice == {"type": "shutdown", "closes_in_s": DRAIN_S}
        assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, GOING_AWAY)
    finally:
        if venue.process("gateway", SLOT).exit_code is None:
            await venue.stop_worker("gateway", SLOT)


async def test_a_silent_stream_beats(api: Api, market: str) -> None:
    """With the seq of the instrument, of which this channel had nothing to say."""
    followed = Followed("trades", market)
    async with connected(api) as socket:
        await socket.follow(followed)
        seq = (await api.place(instrument=market)).body["seq"]
        beat = (await socket.until(followed, seq))[-1]
    assert (beat["type"], beat["seq"]) == ("heartbeat", seq)


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
        names = [f"c{number}" for number in range(10_000)]
        for name in names:
            params = {"channel": "orders", "instrument": market, "client_id": name, "snapshot": False}
            text = orjson.dumps({"method": "subscribe", "params": params, "req_id": name}).decode()
            await greedy.raw.send_str(text)
            if name == names[200]:
                break  # the rest is more of the same, read at a bounded pace
        answers = [await greedy.answer() for _ in names[:201]]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert codes == [None] * MAX_SUBSCRIPTIONS + ["too_many_subscriptions"] * (201 - MAX_SUBSCRIPTIONS)
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
    async with connected(api) as socket:
        await socket.raw.send_str(" " * (MAX_MESSAGE_BYTES - 10) + "{}")
        assert (await socket.answer())["error"]["code"] == "malformed_request"


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


async def _lines(process: asyncio.subprocess.Process, until_seq: int) -> list[str]:
    """What a program prints, up to the message with this seq; then it is ended."""
    lines: list[str] = []
    assert process.stdout is not None
    last = re.compile(rf"""["']instrument["']: ?["'][^"']+["'], ?["']seq["']: ?{until_seq}\b""")
    try:
        async with asyncio.timeout(60):
            while not lines or last.search(lines[-1]) is None:
                line = await process.stdout.readline()
                assert line, lines
                lines.append(line.decode())
    finally:
        process.kill()
        await process.wait()
    return lines


async def test_the_documents_python_follows_a_stream(api: Api, market: str) -> None:
    """As it is printed in docs/STREAMS.md."""
    program = f"{PYTHON[0]}\nasyncio.run(follow({api.url!r}, 'trades', {market!r}))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    first = await _lines(process, 1)
    assert "'type': 'snapshot'" in first[-1]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    assert "'aggressor_side': 'buy'" in (await _lines(process, await trade(api, market)))[-1]


@pytest.mark.skipif(NODE is None, reason="there is no node to run a browser's code")
async def test_the_documents_browser_code_follows_a_stream(api: Api, market: str) -> None:
    """As it is printed in docs/STREAMS.md, in Node, whose WebSocket is a browser's."""
    url = api.url.replace("http", "ws", 1)
    program = f"{BROWSER[0]}\nfollow('{url}', {{channel: 'trades', instrument: '{market}'}}, "
    program += "(message) => console.log(JSON.stringify(message)));"
    argv = [str(NODE), "--experimental-websocket", "-e", program]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    assert '"aggressor_side":"buy"' in (await _lines(process, await trade(api, market)))[-1]


async def test_a_stream_on_the_command_line(venue: Venue, api: Api, market: str) -> None:
    """`faust -A app watch`: from a seq on, a message a line, as the socket has it."""
    seqs = [await trade(api, market) for _ in range(3)]
    argv = [sys.executable, "-m", "faust", "-A", "app", "watch", "trades", market, "--from", str(seqs[0])]
    environment = {**os.environ, **venue.env}
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, env=environment, cwd=STREAMS.parents[1])
    messages = [orjson.loads(line) for line in await _lines(process, seqs[-1])]
    assert [message["seq"] for message in messages] == seqs[1:]
    assert messages[0]["prev_seq"] == seqs[0]


async def test_a_wrong_copy_is_mended_alone(api: Api, market: str) -> None:
    """Race: one book's checksum fails, and only its subscription begins again."""
    book, trades = Followed("book", market), Followed("trades", market)
    client = StreamClient([api.url], [book, trades])
    running = asyncio.create_task(client.run())
    try:
        seq = await trade(api, market)
        await until(lambda: _last_seqs(book, trades), lambda last: min(last) >= seq)
        assert book.book is not None
        book.book.sides["sell"] = {**book.book.sides["sell"], WRONG: {"price": "1.00", "quantity": "1", "orders": 1}}
        seq = await trade(api, market)
        await until(lambda: _last_seqs(book, trades), lambda last: min(last) >= seq)
        shown = (await api("GET", f"/orderbook?instrument={market}")).body
        assert (client.wrong_copies, client.connects, trades.resumed) == (1, 1, 0)
        assert book.book.checksum() == shown["checksum"]
    finally:
        running.cancel()


class Listener:
    """A client of two gateways that follows the trades and the best levels of a market."""

    def __init__(self, market: str, *apis: Api) -> None:
        self.market, self.api = market, apis[-1]
        self.trades, self.book = Followed("trades", market), Followed("book", market, depth=10)
        self.heard: list[dict[str, Any]] = []
        self.client = StreamClient([api.url for api in apis], [self.book, self.trades], self._hear)
        self.running = asyncio.create_task(self.client.run())

    def _hear(self, followed: Followed, message: dict[str, Any]) -> None:
        if followed is self.trades and message["type"] == "update":
            self.heard.extend(message["data"])

    async def until(self, seq: int) -> None:
        """Return once it has both up to this seq; raises Gap."""
        await until(lambda: _last_seqs(self.book, self.trades), lambda last: min(last) >= seq or self.running.done())
        if self.running.done():
            self.running.result()

    async def trade(self, name: str) -> None:
        """Five trades, acknowledged by Kafka; a repeat makes no others."""
        terms = {"instrument": self.market, "type": "limit", "price": f"{100 + len(name) % 7}.00", "quantity": "1"}
        orders = [
            {**terms, "side": side, "client_id": side, "client_order_id": f"{name}-{count}-{side}"}
            for count in range(TRADES)
            for side in ("sell", "buy")
        ]
        await until(
            lambda: self.api("POST", "/orders/batch", {"orders": orders}),
            lambda found: found.status == 200 and all(result["status"] == 201 for result in found.body["results"]),
        )

    async def check(self, trades: int) -> None:
        """Every trade of GET /trades was heard once, in order, and the copy of the book has its checksum."""
        shown = await until(
            lambda: self.api("GET", f"/trades?instrument={self.market}&limit=1000"),
            lambda found: found.status == 200 and len(found.body) == trades,
        )
        await self.until(int(shown.headers["X-Seq"]))
        assert self.heard == [public(trade) for trade in shown.body[::-1]]
        book = (await self.api("GET", f"/orderbook?instrument={self.market}&levels=10")).body
        assert self.book.book is not None and self.book.book.checksum() == book["checksum"]


async def test_a_client_cut_at_random_misses_nothing(api: Api, other_api: Api, market: str) -> None:
    """Under load, at one gateway and the other in turn: every trade once, in order, and the book."""
    listener = Listener(market, api, other_api)
    try:
        await listener.until(1)
        for number in range(CUTS):
            await listener.trade(str(number))
            listener.client.cut()
            await asyncio.sleep(0.05)
        await listener.check(TRADES * CUTS)
        assert listener.trades.resumed > CUTS / 10
    finally:
        listener.running.cancel()


async def test_a_stream_outlives_its_gateway_and_the_matching_worker(
    venue: Venue, session: aiohttp.ClientSession, api: Api, market: str
) -> None:
    """Both killed while it is followed: it is resumed at another gateway, and a replayed report is told once."""
    await venue.start_worker("gateway", SLOT)
    await venue.wait_ready("gateway", SLOT)
    listener = Listener(market, Api(session, venue.web_url("gateway", SLOT)), api)
    try:
        await listener.until(1)
        await listener.trade("before")
        await listener.check(TRADES)
        await venue.kill("gateway", SLOT, for_good=True)
        await listener.trade("no-gateway")
        await listener.check(2 * TRADES)
        await venue.kill("matching")
        await listener.trade("no-matching")
        await venue.wait_ready("matching")
        await listener.check(3 * TRADES)
        assert listener.client.connects > 1 and listener.trades.resumed >= 1
    finally:
        listener.running.cancel()


async def _last_seqs(*followed: Followed) -> list[int]:
    return [one.last_seq or 0 for one in followed]


async def test_the_committed_document_of_the_streams_is_served(api: Api) -> None:
    """AsyncAPI 3, complete: every reference in it leads somewhere."""
    assert (await api("GET", "/asyncapi.json")).body == DOCUMENT
    assert DOCUMENT["asyncapi"].startswith("3.")
    for ref in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        place: Any = DOCUMENT
        for name in ref.split("/"):
            place = place[name]
        assert place
