"""The open loop against a server that misbehaves: everything is sent, repeated if unclear, and counted."""

import asyncio
from itertools import islice

from load.backoff import Backoff
from load.generator import requests
from load.listener import TradeListener
from load.openloop import OpenLoop
from load.profiles import PLAIN, PROFILES
from load.request import Request
from load.wire import Connection
from tests.load.misbehaving import Word, misbehaving

QUICK = Backoff(first_s=0.001, longest_s=0.01, attempts=5)


def _stream() -> list[Request]:
    return list(islice(requests(PROFILES["crossing"], 1, PLAIN), 200))


async def _run(*script: Word, count: int = 200, connections: int = 8, default: Word = 201) -> tuple[OpenLoop, int]:
    async with misbehaving(*script, default=default) as server:
        seconds = count / 2_000
        loop = OpenLoop(server.url, iter(_stream()), 2_000, seconds, connections, server.patience_s, backoff=QUICK)
        await loop.run()
        return loop, len(server.asked)


async def test_every_request_is_sent_once_when_all_goes_well() -> None:
    """On schedule, over few connections, and the answers are in the ledger."""
    loop, asked = await _run()
    assert asked == loop.sent == len(loop.ledger) == 200
    assert loop.ledger.outcomes() == {"ok": 200, "refused": 0, "unknown": 0}
    assert loop.accepted.count == 200
    assert {entry.request.about for entry in loop.ledger} == set(loop.due)


async def test_a_run_that_is_stopped_early_waits_for_its_answers() -> None:
    """Whoever stops it gets an outcome for everything that was sent; at most one more was on its way."""
    async with misbehaving(default=201) as server:
        loop = OpenLoop(
            server.url, iter(_stream()), 200, 1.0, connections=8, timeout_s=server.patience_s, backoff=QUICK
        )
        running = asyncio.create_task(loop.run())
        while loop.sent < 20:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
        loop.stop()
        sent = loop.sent
        await running
    assert sent <= loop.sent <= sent + 1
    assert loop.ledger.outcomes() == {"ok": loop.sent, "refused": 0, "unknown": 0}


async def test_errors_resets_and_silence_are_repeated_until_there_is_an_answer() -> None:
    """A lost connection is replaced and its request sent again under the same key."""
    loop, asked = await _run(500, "reset", "silence", 503, 504, "reset", 201)
    assert loop.ledger.outcomes() == {"ok": 200, "refused": 0, "unknown": 0}
    assert loop.repeats == 6
    assert asked == 206
    assert max(entry.attempts for entry in loop.ledger) >= 2


async def test_requests_without_any_answer_are_unknown_in_the_end() -> None:
    """After the last attempt, and never forgotten."""
    loop, _ = await _run(count=10, default=500)
    assert loop.ledger.outcomes() == {"ok": 0, "refused": 0, "unknown": 10}
    assert {entry.attempts for entry in loop.ledger} == {QUICK.attempts}


async def test_waiting_for_a_connection_counts_as_latency() -> None:
    """One silent answer holds the only connection: those behind it are timed from when they were due."""
    loop, _ = await _run("silence", count=50, connections=1)
    assert loop.ledger.outcomes()["ok"] == 50
    assert loop.accepted.percentile_ms(50) > 100


async def test_a_venue_that_is_away_does_not_stop_the_schedule() -> None:
    """Connections are tried again and again; what was never sent is not in the ledger."""
    async with misbehaving() as server:
        url = server.url
    loop = OpenLoop(url, iter(_stream()), 2_000, 0.01, 2, backoff=QUICK, drain_s=0.1)
    await loop.run()
    assert (loop.sent, len(loop.ledger), loop.open) == (20, 0, 0)


def test_what_a_server_says_on_an_idle_connection_answers_nothing() -> None:
    """A 408 before it closes, for instance: there is no request that it could be about."""
    loop = OpenLoop("http://127.0.0.1:1", iter(()), 1, 1, 1)
    loop._on_answer(Connection(loop._on_answer, loop._on_lost), 408, b"")
    assert (loop.statuses, len(loop.ledger)) == ({}, 0)


def test_the_listener_times_the_taker_once_and_counts_what_is_missing() -> None:
    """Only the order that takes is timed; a jump in seq is a gap, an old seq a repeat."""
    listener = TradeListener("http://127.0.0.1:1")
    trade = '{"instrument":"X","seq":%d,"buy_order_id":"taker","sell_order_id":"maker","aggressor_side":"buy"}'
    for seq in (4, 5, 8, 8):
        listener._hear(trade % seq, 6_000_000)
    assert (listener.trades, listener.gaps, listener.repeats) == (4, 2, 1)
    latency = listener.latency({"a": 1_000, "b": 0}, {"a": "taker", "b": "maker"})
    assert latency.count == 1
    assert latency.percentile_ms(50) == 5.999
