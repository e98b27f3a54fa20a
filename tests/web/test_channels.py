"""What the channels of `/stream` say about a market: each report once, and together all of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.matching.words import Side
from app.models.http import rfc3339, trade_answer
from app.models.reports import ExecutionReport, OrderChange
from app.models.streams import concerned
from load.followed import Followed, Gap
from tests.matching.streams import INSTRUMENT
from tests.web.reports import Reader, Venue, Wire, reports_of, settled
from web.market.books import LevelBook, Market
from web.refused import Refused
from web.streams.channels.orders import LATEST_FILLS
from web.streams.channels.trades import LATEST_TRADES
from web.streams.client import BEHIND
from web.streams.ring import Ring

COMMANDS = 600
CLIENT = "ann"
FINISHED = {"filled", "canceled", "expired", "rejected"}
DEEP = 9
"""The seed of a market of many levels."""


@pytest.fixture(autouse=True)
async def cut() -> AsyncIterator[None]:
    """End the connections of a test."""
    yield
    for reader in list(Reader.all):
        reader.cut()


def in_book(market: Market | LevelBook, depth: int | None = None) -> dict[str, list[tuple[str, str, int]]]:
    """The levels of a gateway's book."""
    book = market.book if isinstance(market, Market) else market
    return {
        side.value: [(level.price, level.quantity, level.orders) for level in book.best_first(side, depth)]
        for side in Side
    }


def in_copy(followed: Followed) -> dict[str, list[tuple[str, str, int]]]:
    """The levels of a client's copy."""
    assert followed.book is not None
    return {
        side: [(level["price"], level["quantity"], level["orders"]) for level in followed.book.best_first(side)]
        for side in ("buy", "sell")
    }


@pytest.mark.parametrize("depth", [None, 10, 20], ids=["full", "10", "20"])
@pytest.mark.parametrize("seed", [1, 2, 3, DEEP])
async def test_a_copy_kept_by_messages_alone_is_the_book(seed: int, depth: int | None) -> None:
    """After every report: each level, and nothing that has left the window; the checksum is compared on the way."""
    venue = Venue(reports_of(seed, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("book", INSTRUMENT, depth=depth))
    updates = 0
    for report in venue.reports[1:]:
        venue.apply_to(report.seq)
        updates += len(await reader.take())
        assert in_copy(reader.followed) == in_book(venue.market, depth), report.seq
    assert updates > COMMANDS / 10


async def test_levels_enter_and_leave_a_window() -> None:
    """Race: levels kept behind the visible ones come to light stale, unless the server says what enters and leaves."""
    venue = Venue(reports_of(DEEP, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("book", INSTRUMENT, depth=10))
    entered = left = 0
    for report in venue.reports[1:]:
        venue.apply_to(report.seq)
        told = {(level.side, level.price) for level in report.levels}
        for message in await reader.take():
            for level in message["data"] if message["type"] == "update" else ():
                if (level["side"], level["price"]) not in told:
                    entered += level["orders"] > 0
                    left += level["orders"] == 0
    assert min(entered, left) > 5
    assert max(len(levels) for levels in in_book(venue.market).values()) > 20


async def test_trades_orders_and_book_joined_by_seq_are_the_log() -> None:
    """One seq for all channels: what they say about a seq is what its report says."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    clients = sorted({client for report in venue.reports for client in concerned(report)})
    readers = {
        "book": Reader(venue, Followed("book", INSTRUMENT)),
        "trades": Reader(venue, Followed("trades", INSTRUMENT)),
    }
    readers |= {name: Reader(venue, Followed("orders", INSTRUMENT, client_id=name)) for name in clients}
    venue.apply_to(venue.reports[-1].seq)
    joined: dict[int, dict[str, Any]] = {}
    for name, reader in readers.items():
        for message in await reader.take():
            if message["type"] == "update":
                joined.setdefault(message["seq"], {})[name] = message
    for report in venue.reports[1:]:
        said = joined.pop(report.seq, {})
        levels = [
            (level["side"], level["price"], level["quantity"]) for level in said.get("book", {"data": []})["data"]
        ]
        if report.command != "snapshot":
            assert levels == [(level.side, level.price, level.quantity) for level in report.levels]
        trades = said.get("trades", {"data": []})["data"]
        assert trades == [trade_answer(INSTRUMENT, trade, report.time) for trade in report.trades]
        orders = [order for name in clients for order in said.get(name, {"data": []})["data"]]
        assert sorted((order["order_id"], order["status"], order["fees"]) for order in orders) == sorted(
            (change.order_id, change.status, change.fees) for change in report.orders
        )
        fills = [fill for name in clients for fill in said.get(name, {"fills": []})["fills"]]
        assert sorted((fill["order_id"], fill["fee"]) for fill in fills) == sorted(
            side
            for trade in report.trades
            for side in ((trade.buy_order_id, trade.buyer_fee), (trade.sell_order_id, trade.seller_fee))
        )
        busted = [] if report.bust is None else [report.bust.trade_id]
        for name in ("trades", *clients):
            assert [bust["trade_id"] for bust in said.get(name, {}).get("busts", [])] == busted
    assert joined == {}
    assert any(report.bust for report in venue.reports) and any(
        change.fees != "0" for change in changes_of(venue.reports)
    )


def changes_of(reports: list[ExecutionReport]) -> list[OrderChange]:
    """Every order's change."""
    return [change for report in reports for change in report.orders]


async def test_a_snapshot_says_which_trades_were_busted() -> None:
    """A client that begins after a bust knows of it: the trade's, and those of its fills."""
    venue = Venue(reports_of(1, COMMANDS))
    for report in venue.reports:
        venue.apply_to(report.seq)
        if report.bust is not None:
            break
    assert report.bust is not None
    trade = next(t for r in venue.reports for t in r.trades if t.seq == report.bust.trade_seq)
    followed = (
        Followed("trades", INSTRUMENT),
        Followed("orders", INSTRUMENT, client_id=trade.buy_client_id),
    )
    trades, orders = [(await Reader(venue, one).take())[0] for one in followed]
    for told in (trades["data"], orders["fills"]):
        busted = [(one["trade_id"], one["busted_at"]) for one in told if "busted_at" in one]
        assert set(busted) == {(trade.trade_id, rfc3339(report.time))}


async def test_a_bust_reaches_those_who_follow_trades_only_as_well() -> None:
    """A frame of its own after the frame of its trade."""
    venue = Venue(reports_of(1, COMMANDS))
    wire = Wire()
    with venue.hub.trade_client(wire, INSTRUMENT) as client:
        client.begin()
        venue.apply_to(venue.reports[-1].seq)
        await settled()
    busts = [(frame["seq"], frame["busted_at"]) for frame in wire.frames if "busted_at" in frame]
    assert busts == [(r.bust.trade_seq, rfc3339(r.time)) for r in venue.reports if r.bust is not None]
    assert busts and len(wire.frames) == len(busts) + sum(len(report.trades) for report in venue.reports)


async def test_a_snapshot_and_a_subscription_cannot_cross() -> None:
    """Race: between snapshot and first update nothing is lost or told twice, wherever a subscription begins."""
    venue, readers = Venue(reports_of(2, 300)), []
    for report in venue.reports:
        venue.apply_to(report.seq)
        readers.append(Reader(venue, Followed("book", INSTRUMENT)))
    for reader in readers:
        await reader.take()  # raises Gap otherwise
        assert in_copy(reader.followed) == in_book(venue.market)


async def test_an_empty_book_has_a_version_too() -> None:
    """Race: a copy of an empty book must know from which seq on updates count."""
    venue = Venue(reports_of(1, 5))
    venue.apply_to(1)
    reader = Reader(venue, Followed("book", INSTRUMENT))
    snapshot = (await reader.take())[0]
    assert (snapshot["seq"], snapshot["data"], snapshot["checksum"]) == (1, [], LevelBook().checksum())


async def test_private_news_wait_for_no_market_data() -> None:
    """Race: an order's status is queued as its report is applied, though the same client's book is being conflated."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("orders", INSTRUMENT, client_id=CLIENT))
    venue.subscribe(reader.client, Followed("book", INSTRUMENT))
    await settled()
    reader.wire.frames.clear()
    for _ in range(BEHIND + 1):  # conflation has begun
        reader.client.push(b"{}")
    about_me = next(report for report in venue.reports[1:] if CLIENT in concerned(report) and report.levels)
    venue.apply_to(about_me.seq)
    waiting = list(reader.client._waiting)
    assert any(b'"channel":"orders"' in frame and b'"seq":%d' % about_me.seq in frame for frame in waiting)
    assert not any(b'"channel":"book"' in frame for frame in waiting)


async def test_the_clients_of_an_order_are_told_before_the_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand who follow the book take longer than one."""
    venue, told = Venue(reports_of(1, COMMANDS)), list[str]()
    venue.apply_to(1)
    public = Reader(venue, Followed("book", INSTRUMENT))
    private = Reader(venue, Followed("orders", INSTRUMENT, client_id=CLIENT))
    about_me = next(report for report in venue.reports[1:] if CLIENT in concerned(report) and report.levels)
    venue.apply_to(about_me.seq - 1)
    await settled()
    monkeypatch.setattr(public.wire, "write", lambda frames: told.append("public"))
    monkeypatch.setattr(private.wire, "write", lambda frames: told.append("private"))
    venue.apply_to(about_me.seq)
    await settled()
    assert told == ["private", "public"]


async def test_a_private_stream_begins_with_what_is_open_and_what_was_filled() -> None:
    """Race: after a reconnect without a position the client knows its open orders and latest fills again."""
    venue = Venue(reports_of(3, COMMANDS))
    latest: dict[str, Any] = {}
    fills: list[str] = []
    for report in venue.reports:
        for change in report.orders:
            if change.client_id == CLIENT:
                latest[change.order_id] = change
        for trade in report.trades:
            fills += [trade.trade_id] * [trade.buy_client_id, trade.sell_client_id].count(CLIENT)
    venue.apply_to(venue.reports[-1].seq)
    reader = Reader(venue, Followed("orders", INSTRUMENT, client_id=CLIENT))
    snapshot = (await reader.take())[0]

    is_open = {name: change for name, change in latest.items() if change.status not in FINISHED}
    assert {order["order_id"]: order["remaining_quantity"] for order in snapshot["data"]} == {
        name: change.remaining_quantity for name, change in is_open.items()
    }
    assert all(order["client_order_id"] and order["side"] for order in snapshot["data"])
    assert [fill["trade_id"] for fill in snapshot["fills"]] == fills[-LATEST_FILLS:]
    assert is_open and fills


async def test_a_client_is_told_of_its_own_orders_only() -> None:
    """Others' are not in its messages, nor do they make one; a bust does, since its report names no client."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("orders", INSTRUMENT, client_id=CLIENT))
    venue.apply_to(venue.reports[-1].seq)
    messages = [message for message in await reader.take() if message["type"] == "update"]
    assert {order["client_id"] for message in messages for order in message["data"]} == {CLIENT}
    assert [message["seq"] for message in messages] == [
        report.seq for report in venue.reports[1:] if CLIENT in concerned(report) or report.bust is not None
    ]


async def test_halts_and_rules_are_told() -> None:
    """`status` begins with what holds, and each change follows."""
    venue = Venue(reports_of(2, 2_000))
    venue.apply_to(1)
    reader = Reader(venue, Followed("status", INSTRUMENT))
    venue.apply_to(venue.reports[-1].seq)
    first, *changes = await reader.take()
    said = [(message["seq"], message["data"][0].get("market_status")) for message in changes]
    right = [
        (report.seq, report.market_status)
        for report in venue.reports[1:]
        if report.market_status is not None or report.listing is not None
    ]
    assert (first["data"][0]["market_status"], first["data"][0]["rules"]["instrument"]) == ("open", INSTRUMENT)
    assert said == right and said


async def test_the_latest_trades_come_first() -> None:
    """Oldest of them first, as they would have come."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(venue.reports[-1].seq)
    snapshot = (await Reader(venue, Followed("trades", INSTRUMENT)).take())[0]
    trades = [trade.trade_id for report in venue.reports for trade in report.trades]
    assert [trade["trade_id"] for trade in snapshot["data"]] == trades[-LATEST_TRADES:]


async def test_a_message_is_encoded_once_for_all() -> None:
    """The very same bytes go to everyone who has the same position."""
    venue = Venue(reports_of(1, 50))
    venue.apply_to(1)
    readers = [Reader(venue, Followed("book", INSTRUMENT)) for _ in range(3)]
    await settled()
    report = next(report for report in venue.reports[1:] if report.levels)
    venue.apply_to(report.seq)
    first, *others = [reader.client._waiting[-1] for reader in readers]
    assert all(frame is first for frame in others)


async def test_a_heartbeat_says_how_far_the_channel_is() -> None:
    """After a silence, as often as the hub looks; then a message follows it, not the one before it."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("status", INSTRUMENT))
    change = next(report for report in venue.reports[1:] if report.market_status or report.listing)
    venue.apply_to(change.seq - 1)
    venue.hub.beat()  # the snapshot was sent since the last time
    assert [message["type"] for message in await reader.take()] == ["snapshot"]
    venue.hub.beat()
    venue.hub.beat()
    assert [(beat["type"], beat["seq"]) for beat in await reader.take()] == [("heartbeat", change.seq - 1)] * 2
    venue.apply_to(change.seq)
    assert [(message["seq"], message["prev_seq"]) for message in await reader.take()] == [(change.seq, change.seq - 1)]


async def test_a_report_of_every_level_repeats_none() -> None:
    """What recording has taken each minute is no news; but orders that expired by then are."""
    venue = Venue(reports_of(1, 5_000))
    venue.apply_to(1)
    reader = Reader(venue, Followed("book", INSTRUMENT))
    venue.apply_to(venue.reports[-1].seq)
    told = {message["seq"]: len(message["data"]) for message in await reader.take()}
    every = [(report.seq, len(report.levels)) for report in venue.reports if report.command == "snapshot"]
    assert len(every) > 10
    assert sum(told.get(seq, 0) for seq, _ in every) < sum(levels for _, levels in every) / 10
    assert in_copy(reader.followed) == in_book(venue.market)


@pytest.mark.parametrize("seed", range(5))
def test_the_ring_knows_the_book_before_each_of_its_reports(seed: int) -> None:
    """Rewound to any seq that it reaches, levels and checksum are those that the book had there."""
    reports, ring = reports_of(seed, COMMANDS), Ring(max_entries=300)
    assert reports[0].listing is not None
    market, right = Market(reports[0].listing), {0: in_book(LevelBook())}
    for report in reports:
        ring.add(report, market.apply(report))
        right[report.seq] = in_book(market)
    first = ring.first_seq(market)
    assert 1 < first < market.seq
    for seq in range(first - 1, market.seq + 1):
        assert in_book(ring.book_at(market, seq)) == right[seq]
        assert [report.seq for report in ring.after(market, seq)] == list(range(seq + 1, market.seq + 1))


async def test_what_cannot_be_subscribed_to_is_refused_alone() -> None:
    """A depth of trades, orders of nobody, the same twice: one sentence each, and what is subscribed stays."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("book", INSTRUMENT, depth=10))
    for followed, code in (
        (Followed("trades", INSTRUMENT, depth=10), "invalid_value"),
        (Followed("orders", INSTRUMENT), "invalid_value"),
        (Followed("trades", INSTRUMENT, client_id=CLIENT), "invalid_value"),
        (Followed("trades", INSTRUMENT, on_slow="conflate"), "invalid_value"),
        (Followed("book", INSTRUMENT, on_slow="skip"), "invalid_value"),
        (Followed("orderbook_deltas", INSTRUMENT), "already_subscribed"),
        (Followed("book", INSTRUMENT, depth=20), "already_subscribed"),
    ):
        with pytest.raises(Refused) as refused:
            venue.subscribe(reader.client, followed)
        assert refused.value.code == code, followed.key
    venue.apply_to(100)
    assert await reader.take() and list(reader.client.subscriptions) == [("book", INSTRUMENT, None)]


def test_a_client_notices_a_missing_message() -> None:
    """The rule that the tests rely on: `prev_seq` is not the last seq."""
    followed = Followed("trades", "X")
    followed.begin({"recovered": False, "epoch": "e", "last_seq": 7})
    followed.take({"type": "update", "prev_seq": 7, "seq": 9, "data": []})
    for prev_seq in (7, 8, 10):
        with pytest.raises(Gap):
            followed.take({"type": "update", "prev_seq": prev_seq, "seq": 12, "data": []})
