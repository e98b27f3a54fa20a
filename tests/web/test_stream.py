"""The socket `/stream` against real gateways: subscriptions, positions, and two gateways in turn."""

import asyncio
import json
import re
from decimal import Decimal
from typing import Any

import aiohttp
import orjson

from app.local.venue import Venue
from load.followed import Followed
from load.stream import StreamClient
from tests.web.conftest import Api, public, until
from tests.web.contract import STREAMS as DOCUMENT
from tests.web.sockets import connected, trade
from web.streams.client import GOING_AWAY

SLOT = 5
DRAIN_S = 1.0
WRONG = Decimal("1.00")


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
        assert trades[-1]["data"] == [public(found) for found in lists[0].body]
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
            await socket.until(one, seq)
    seq = await trade(api, market, "101.00")
    async with connected(other_api) as socket:
        for one in followed:
            assert (await socket.follow(one))["recovered"]
        for one in followed:
            messages = await socket.until(one, seq)
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
        trades, orders = [await socket.until(one, seq) for one in followed]
        (fill,) = orders[-1]["fills"]
        assert (fill["fee"], orders[-1]["data"][0]["fees"]) == ("0.10000000", "0.10000000")
        assert not any("fee" in name for name in trades[-1]["data"][0])
        busted = (await api("POST", f"/trades/{fill['trade_id']}/bust", {"reason": "an error"})).body
        told = [(await socket.until(one, busted["seq"]))[-1] for one in followed]
        bust = {"trade_id": fill["trade_id"], "instrument": market, "seq": 1, "busted_at": busted["busted_at"]}
        assert [(message["seq"], message["data"], message["busts"]) for message in told] == [
            (busted["seq"], [], [bust])
        ] * 2
        frames = [orjson.loads(await old.receive_str(timeout=20)) for _ in range(2)]
        assert frames == [trades[-1]["data"][0], bust]


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


async def test_the_committed_document_of_the_streams_is_served(api: Api) -> None:
    """AsyncAPI 3, complete: every reference in it leads somewhere."""
    assert (await api("GET", "/asyncapi.json")).body == DOCUMENT
    assert DOCUMENT["asyncapi"].startswith("3.")
    for ref in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        place: Any = DOCUMENT
        for name in ref.split("/"):
            place = place[name]
        assert place


async def _last_seqs(*followed: Followed) -> list[int]:
    return [one.last_seq or 0 for one in followed]
