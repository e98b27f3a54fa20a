"""The client against a server that misbehaves: what it calls ok, refused and unknown, and what it repeats."""

from pathlib import Path
from random import Random

import pytest

from load import ledger, request
from load.backoff import Backoff
from load.client import Client, NotReady, answered_id
from load.ledger import Outcome
from load.request import Kind, Terms
from tests.load.misbehaving import Word, misbehaving

TERMS = Terms("ann", "BTC-USD", "buy", "limit", "1.00", "70000.00")
QUICK = Backoff(first_s=0.001, longest_s=0.01, attempts=4)


async def _outcome(*script: Word, default: Word = 201) -> tuple[Outcome, int | None, int]:
    async with (
        misbehaving(*script, default=default) as server,
        Client(server.url, backoff=QUICK, timeout_s=server.patience_s) as client,
    ):
        answer = await client.place(TERMS, "k1")
        assert {asked[2:] for asked in server.asked} == {("k1", server.asked[0][3])}, "repeats are the same request"
        (entry,) = client.ledger
        assert (entry.outcome, entry.status, entry.attempts) == (answer.outcome, answer.status, answer.attempts)
        return answer.outcome, answer.status, answer.attempts


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([201], (Outcome.OK, 201, 1)),
        ([422], (Outcome.REFUSED, 422, 1)),
        ([500, 201], (Outcome.OK, 201, 2)),
        ([504, 504, 201], (Outcome.OK, 201, 3)),
        (["reset", 201], (Outcome.OK, 201, 2)),
        (["silence", 201], (Outcome.OK, 201, 2)),
        ([503, 429, 201], (Outcome.OK, 201, 3)),
        ([503, 503, 503, 503], (Outcome.REFUSED, 503, 4)),
        ([500, 500, 500, 500], (Outcome.UNKNOWN, 500, 4)),
        (["reset", "reset", "reset", "reset"], (Outcome.UNKNOWN, None, 4)),
        (["silence", 422], (Outcome.UNKNOWN, 422, 2)),
        ([503, 422], (Outcome.REFUSED, 422, 2)),
    ],
    ids=str,
)
async def test_an_outcome_is_what_all_attempts_together_say(
    script: list[Word], expected: tuple[Outcome, int | None, int]
) -> None:
    """A refusal after an attempt without an answer leaves the outcome open."""
    assert await _outcome(*script) == expected


async def test_nobody_listening_is_unknown_and_recorded() -> None:
    """A connection that cannot be made says nothing about an earlier attempt either."""
    async with misbehaving() as server:
        url = server.url
    async with Client(url, backoff=QUICK) as client:
        assert (await client.place(TERMS)).outcome is Outcome.UNKNOWN
        assert client.ledger.outcomes() == {"ok": 0, "refused": 0, "unknown": 1}


async def test_a_venue_that_never_becomes_ready_is_a_clear_error() -> None:
    """Waiting ends with the last status that was seen."""
    async with misbehaving(default=503) as server, Client(server.url) as client:
        with pytest.raises(NotReady, match="503"):
            await client.until_ready(timeout_s=0.3)


async def test_a_ledger_can_be_written_and_read_again(tmp_path: Path) -> None:
    """The checker may run later, from the file, also about requests that are not text."""
    async with misbehaving(201, 422) as server, Client(server.url, backoff=QUICK) as client:
        await client.place(TERMS)
        await client.send(request.Request(Kind.HOSTILE, "POST", request.ORDERS_PATH, b"\xff", "k"))
        client.ledger.write(tmp_path / "ledger.jsonl")
        assert ledger.read(tmp_path / "ledger.jsonl").entries == client.ledger.entries


def test_pauses_grow_with_jitter_up_to_a_limit() -> None:
    """Between half and all of a doubling pause."""
    backoff, random = Backoff(first_s=1.0, longest_s=5.0), Random(1)
    for attempt, whole in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (10, 5.0)]:
        pauses = [backoff.pause_s(attempt, random) for _ in range(100)]
        assert whole / 2 <= min(pauses) < max(pauses) <= whole


def test_the_answered_order_id_is_found_in_any_spacing() -> None:
    """Also none at all."""
    order_id = "9b2e55bf-9910-806f-98d2-11185ef91c73"
    assert answered_id(f'{{"order_id":"{order_id}","status":"pending_new"}}'.encode()) == order_id
    assert answered_id(f'{{"instrument": "X", "order_id" : "{order_id}"}}'.encode()) == order_id
    assert answered_id(b'{"code":"unknown_order"}') is None
