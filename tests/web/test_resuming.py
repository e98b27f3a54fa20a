"""Streams resumed and streams read too slowly: the joined stream is the log's, and what is left out is announced."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from app.matching.words import Side
from load.followed import Followed
from tests.matching.streams import INSTRUMENT
from tests.web.reports import EPOCH, Reader, Venue, reports_of, settled
from tests.web.test_channels import CLIENT, in_book, in_copy
from web.refused import Refused
from web.streams import client as web_client
from web.streams import replays, subscribing
from web.streams.client import BEHIND, MAX_CONFLATED, SLOW_CONSUMER
from web.streams.ring import Ring

COMMANDS = 2_000
SMALL_RING = 100  # entries: most of what is resumed comes from the log
STREAMS: dict[str, dict[str, Any]] = {
    "book": {"channel": "book"},
    "book-10": {"channel": "book", "depth": 10},
    "trades": {"channel": "trades"},
    "orders": {"channel": "orders", "client_id": CLIENT},
    "status": {"channel": "status"},
}


@pytest.fixture(autouse=True)
async def cut() -> AsyncIterator[None]:
    """End the connections of a test."""
    yield
    for reader in list(Reader.all):
        reader.cut()


def without_place(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what says which one it follows, and the checksum that what comes from the log lacks."""
    return {name: value for name, value in message.items() if name not in ("prev_seq", "checksum")}


@pytest.mark.parametrize(
    ("name", "ring"),
    # A window is resumed from memory only.
    [(name, None) for name in STREAMS] + [(name, SMALL_RING) for name in STREAMS if name != "book-10"],
)
async def test_a_stream_cut_a_hundred_times_is_the_whole_stream(name: str, ring: int | None) -> None:
    """Cut at random, with what was on its way lost, and resumed: message by message what an uncut client got."""
    random, venue = Random(name), Venue(reports_of(1, COMMANDS))
    if ring is not None:
        venue.hub.ring = Ring(ring)
    venue.apply_to(1)
    params = dict(STREAMS[name])
    uncut = Reader(venue, Followed(params.pop("channel"), INSTRUMENT, **params))
    followed = Followed(STREAMS[name]["channel"], INSTRUMENT, **params)
    reader = Reader(venue, followed)
    messages = await reader.take()
    while venue.market.seq < venue.reports[-1].seq:
        venue.apply_to(venue.market.seq + random.randint(1, 8))
        if random.random() < 0.5:
            messages += await reader.take()
        reader.cut()
        venue.apply_to(venue.market.seq + random.randint(0, 8))
        reader = Reader(venue, followed)
    messages += await reader.until_live()

    assert followed.resumed > 90
    # What tells every level is told as a difference, but by those who know no book to compare with.
    every_level = {report.seq for report in venue.reports if report.command == "snapshot"} if name == "book" else set()
    joined, whole = (
        [without_place(message) for message in every if message["seq"] not in every_level]
        for every in (messages, await uncut.take())
    )
    assert joined == whole
    assert bool(venue.asked_for) == (ring is not None)
    if followed.book is not None:
        assert in_copy(followed) == in_book(venue.market, params.get("depth"))


async def test_another_gateway_resumes_what_one_began() -> None:
    """From its own ring or the log: what the client has is a position, nothing of the gateway it was at."""
    reports = reports_of(1, COMMANDS)
    one, other = Venue(reports), Venue(reports)
    other.hub.ring = Ring(SMALL_RING)
    one.apply_to(500)
    followed = Followed("book", INSTRUMENT)
    first = Reader(one, followed)
    one.apply_to(1_000)
    await first.take()
    first.cut()
    other.apply_to(reports[-1].seq)
    second = Reader(other, followed)
    await second.until_live()
    assert followed.resumed == 1 and in_copy(followed) == in_book(other.market)


async def test_a_position_that_is_not_available_is_refused_with_the_range() -> None:
    """Race: after a fail-over no stale snapshot, no silent restart: of another log, too old, or not there yet."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.hub.ring = Ring(SMALL_RING)
    venue.apply_to(1_000)
    reader = Reader(venue, Followed("status", INSTRUMENT))
    first = venue.hub.ring.first_seq(venue.market)
    for followed, code, first_seq in (
        (Followed("trades", INSTRUMENT, from_seq=900, epoch="another"), "other_epoch", 1),
        (Followed("trades", INSTRUMENT, from_seq=1_001, epoch=EPOCH), "beyond_end", 1),
        (Followed("book", INSTRUMENT, depth=10, from_seq=first - 2), "snapshot_required", first),
    ):
        with pytest.raises(Refused) as refused:
            venue.subscribe(reader.client, followed)
        assert (refused.value.code, refused.value.more) == (
            code,
            {"epoch": EPOCH, "first_seq": first_seq, "last_seq": 1_000},
        )
    venue.subscribe(reader.client, Followed("book", INSTRUMENT, depth=10, from_seq=first - 1))
    assert set(reader.client.subscriptions) == {("status", INSTRUMENT, None), ("book", INSTRUMENT, None)}


async def test_what_is_older_than_the_budget_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay of a whole log would cost everyone; a snapshot costs nobody."""
    monkeypatch.setattr(subscribing, "MAX_REPLAYED", 100)
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1_000)
    reader = Reader(venue, Followed("trades", INSTRUMENT, from_seq=900))
    with pytest.raises(Refused) as refused:
        venue.subscribe(reader.client, Followed("book", INSTRUMENT, from_seq=899))
    assert (refused.value.code, refused.value.more["first_seq"]) == ("snapshot_required", 901)


async def test_replays_beyond_the_budget_are_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few connections read the log at once; who is turned away may ask again, who needs no log is served."""
    monkeypatch.setattr(replays, "MAX_REPLAYS", 1)
    venue = Venue(reports_of(1, COMMANDS))
    venue.hub.ring = Ring(SMALL_RING)
    venue.apply_to(1_000)
    first = Reader(venue, Followed("trades", INSTRUMENT, from_seq=1))
    await settled()
    with pytest.raises(Refused) as refused:
        Reader(venue, Followed("trades", INSTRUMENT, from_seq=1))
    assert (refused.value.code, refused.value.retry_after_s) == ("overloaded", 1)
    near = Reader(venue, Followed("trades", INSTRUMENT, from_seq=999))
    venue.apply_to(1_100)
    assert await near.take()
    await first.until_live()
    again = Reader(venue, Followed("trades", INSTRUMENT, from_seq=1))
    await settled()
    assert again.client.replays


async def test_a_log_that_cannot_be_read_ends_only_the_subscription_that_needs_it() -> None:
    """With a sentence, and where it may be resumed; the other one continues."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.hub.ring = Ring(SMALL_RING)

    async def away(instrument: str, seq: int, offset: int | None) -> Any:
        raise Refused("snapshot_required", "Kafka does not answer")

    venue.subscribing = subscribing.Subscribing(venue.hub, away, lambda instrument: venue.bars)
    venue.apply_to(1_000)
    reader = Reader(venue, Followed("book", INSTRUMENT))
    await reader.take()
    venue.subscribe(reader.client, Followed("trades", INSTRUMENT, from_seq=1))
    await settled()
    answer, refusal = reader.wire.frames
    assert (answer["result"]["recovered"], refusal["error"]["code"]) == (True, "snapshot_required")
    assert refusal["error"]["last_seq"] == 1
    reader.wire.frames.clear()
    venue.apply_to(1_050)
    assert await reader.take()


async def test_a_slow_readers_book_is_conflated() -> None:
    """It gets fewer messages, none of them late for ever, and its copy is the book; `prev_seq` tells of no gap."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    fast, slow = (Reader(venue, Followed("book", INSTRUMENT)) for _ in range(2))
    await settled()
    slow.wire.stop_reading()
    for seq in range(2, venue.reports[-1].seq + 1):
        venue.apply_to(seq)
        assert len(slow.client._waiting) <= BEHIND + 1
        if seq % 100 == 0:
            await fast.take()
    await fast.take()
    slow.wire.read_on()
    await slow.take()

    assert in_copy(slow.followed) == in_copy(fast.followed) == in_book(venue.market)
    assert slow.followed.last_seq == fast.followed.last_seq
    assert len(slow.messages) < len(fast.messages)


async def test_too_much_to_conflate_becomes_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for one reader is bounded, however many levels change."""
    monkeypatch.setattr(web_client, "MAX_CONFLATED", 5)
    venue = Venue(reports_of(9, COMMANDS))
    venue.apply_to(1)
    slow = Reader(venue, Followed("book", INSTRUMENT))
    await settled()
    slow.wire.stop_reading()
    venue.apply_to(venue.reports[-1].seq)
    slow.wire.read_on()
    taken = await slow.take()
    assert [message["type"] for message in taken].count("snapshot") == 2 < MAX_CONFLATED
    assert in_copy(slow.followed) == in_book(venue.market)


async def test_a_slow_reader_may_skip_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    """The range that was left out is announced, and the next message follows it."""
    monkeypatch.setattr(web_client, "BEHIND", 60)
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    slow = Reader(venue, Followed("trades", INSTRUMENT, on_slow="skip"))
    uncut = Reader(venue, Followed("trades", INSTRUMENT))
    await settled()
    slow.wire.stop_reading()
    end = venue.reports[-1].seq
    venue.apply_to(end - 200)
    slow.wire.read_on()
    await slow.take()
    venue.apply_to(end)
    await slow.take()
    left_out = {
        seq
        for message in slow.messages
        if message["type"] == "skipped"
        for seq in range(message["prev_seq"] + 1, message["seq"] + 1)
    }
    got = {message["seq"] for message in slow.messages if message["type"] == "update"}
    every = {message["seq"] for message in await uncut.take() if message["type"] == "update"}
    assert slow.followed.skipped == 1 and got and left_out
    assert got == every - left_out and len(every & left_out) > 10


async def test_who_reads_no_trades_is_closed_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    """4008 when its queue is full; others are not touched, and nothing is lost to it when it comes back."""
    monkeypatch.setattr(web_client, "MAX_WAITING", 50)
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    fast, slow = (Reader(venue, Followed("trades", INSTRUMENT)) for _ in range(2))
    await settled()
    slow.wire.stop_reading()
    for seq in range(2, venue.reports[-1].seq + 1):
        venue.apply_to(seq)
        await fast.take()
    await settled()
    assert slow.wire.closed == (SLOW_CONSUMER, b"slow_consumer")
    assert len(slow.client._waiting) == 0 and fast.wire.closed is None

    frames = [frame for frame in slow.wire.frames if "req_id" not in frame]
    slow.followed.begin(slow.wire.frames[0]["result"])
    for frame in frames:
        slow.followed.take(frame)
    slow.cut()
    monkeypatch.undo()
    messages = frames + await Reader(venue, slow.followed).until_live()
    assert [message["seq"] for message in messages] == [message["seq"] for message in fast.messages]


async def test_one_slow_subscription_ends_no_other() -> None:
    """Of one connection: the book is conflated while the trades wait, and the trades lose nothing."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.apply_to(1)
    reader = Reader(venue, Followed("trades", INSTRUMENT))
    book = Followed("book", INSTRUMENT)
    venue.subscribe(reader.client, book)
    await settled()
    reader.wire.stop_reading()
    venue.apply_to(venue.reports[-1].seq)
    reader.wire.read_on()
    await settled()
    followed = {"book": book, "trades": reader.followed}
    answers = iter((reader.followed, book))
    trades = []
    for frame in reader.wire.frames:
        if "req_id" in frame:
            next(answers).begin(frame["result"])
        else:
            followed[frame["channel"]].take(frame)
            trades += [frame["seq"]] if frame["channel"] == "trades" and frame["type"] == "update" else []
    assert trades == [report.seq for report in venue.reports[1:] if report.trades or report.bust is not None]
    assert in_copy(book) == in_book(venue.market)
    assert all(side in in_book(venue.market) for side in Side)


async def test_unsubscribing_ends_a_replay_too() -> None:
    """Nothing comes after the answer, which says where it may be resumed."""
    venue = Venue(reports_of(1, COMMANDS))
    venue.hub.ring = Ring(SMALL_RING)
    venue.apply_to(1_500)
    reader = Reader(venue, Followed("trades", INSTRUMENT, from_seq=1))
    await settled()
    wanted = subscribing.UnsubscribeParams(channel="trades", instrument=INSTRUMENT)
    venue.subscribing.unsubscribe(reader.client, wanted, None, 2)
    await settled()
    venue.apply_to(1_600)
    await settled()
    last = reader.wire.frames[-1]
    assert last["req_id"] == 2 and last["result"]["last_seq"] == reader.wire.frames[-2]["seq"]
    with pytest.raises(Refused):
        venue.subscribing.unsubscribe(reader.client, wanted, None, 3)
