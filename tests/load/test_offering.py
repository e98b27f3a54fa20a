"""A client process of the ramp against a server that misbehaves: nothing is repeated, everything is counted."""

import asyncio

import pytest

from app.verification.ledger import Outcome
from load import offering
from load.latency import Latency
from load.offering import Share, offer
from tests.load.misbehaving import misbehaving


async def test_every_order_that_is_sent_is_counted_once() -> None:
    """By its status; what is accepted or unknown is kept for the check, and latencies can be added up."""
    async with misbehaving(503, 429, 503, 500, "reset") as server:
        offered = await asyncio.to_thread(offer, Share(server.url, 2_000, 0.1, 8, 1, "t"), lambda: None)
    assert offered.due == 200 >= offered.sent == len(server.asked) == sum(offered.statuses.values())
    others = {status: count for status, count in offered.statuses.items() if status != "201"}
    assert others == {"429": 1, "500": 1, "503": 2, "no answer": 1}

    accepted, refused = Latency(), Latency()
    accepted.add(offered.accepted)
    refused.add(offered.refused)
    assert (accepted.count, refused.count) == (offered.statuses["201"], 3)
    outcomes = [entry.outcome for entry in offered.entries]
    assert outcomes.count(Outcome.OK) == accepted.count and outcomes.count(Outcome.UNKNOWN) == 2
    assert len({entry.request.about for entry in offered.entries}) == offered.sent - 3


async def test_what_finds_no_free_connection_in_time_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only connection waits for an answer that never comes."""
    monkeypatch.setattr(offering, "PATIENCE_S", 0.5)
    monkeypatch.setattr(offering, "MAX_LATE_S", 0.05)
    async with misbehaving(default="silence") as server:
        offered = await asyncio.to_thread(offer, Share(server.url, 100, 0.5, 1, 1, "t"), lambda: None)
    assert (offered.due, offered.sent, offered.statuses) == (50, 1, {"no answer": 1})
    assert [entry.outcome for entry in offered.entries] == [Outcome.UNKNOWN]
