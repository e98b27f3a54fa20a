"""Rate limits: the bucket's arithmetic, and what a limited client is told."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.local.venue import Venue
from tests.web.conftest import Api
from web.edge.limits import SECOND_NS, Bucket

RATE, SLOT = 5, 3
SECONDS = 30
PAUSES_NS = st.one_of(st.just(0), st.integers(0, 5_000_000), st.integers(0, 5 * SECOND_NS))
COSTS = st.one_of(st.just(1), st.integers(1, 1_500))
NOW_NS = 10**18


@pytest.fixture(scope="module")
async def limited(venue: Venue, session: aiohttp.ClientSession) -> AsyncIterator[Api]:
    """A gateway without keys that lets each address ask five times a second."""
    await venue.start_worker("gateway", SLOT, {"RATE_LIMIT": str(RATE)})
    await venue.wait_ready("gateway", SLOT)
    yield Api(session, venue.web_url("gateway", SLOT))
    await venue.stop_worker("gateway", SLOT)


@given(
    st.floats(0.1, 1_000),
    st.lists(st.tuples(PAUSES_NS, COSTS), max_size=60),
)
def test_a_bucket_never_grants_more_than_its_rate(rate: float, asked: list[tuple[int, int]]) -> None:
    """Before each grant, what was granted since any earlier moment is at most the rate's worth and a full bucket."""
    bucket, now_ns, granted = Bucket(rate), NOW_NS, []
    size = max(1, int(rate))
    for pause_ns, cost in asked:
        now_ns += pause_ns
        if bucket.take(cost, now_ns) == 0:
            granted.append((now_ns, cost))
    for first in range(len(granted)):
        total = 0
        for at_ns, cost in granted[first:]:
            if total:
                worth = rate * (at_ns - granted[first][0]) / SECOND_NS
                # A batch larger than the bucket needs a full one; nothing else may be in debt before.
                assert total + min(cost, size) <= worth + max(size, granted[first][1]) + 0.01
            total += cost


def test_a_refusal_says_when_and_takes_nothing() -> None:
    """Who waits that long gets in, and not a nanosecond earlier."""
    bucket = Bucket(2)
    assert [bucket.take(1, NOW_NS) for _ in range(3)] == [0, 0, SECOND_NS // 2]
    assert bucket.take(1, NOW_NS + SECOND_NS // 2 - 1) == 1
    assert bucket.take(1, NOW_NS + SECOND_NS // 2) == 0


def test_a_batch_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_for() -> None:
    """A thousand orders at ten a second: once in a hundred seconds."""
    bucket = Bucket(10)
    assert bucket.take(1_000, NOW_NS) == 0
    assert bucket.left(NOW_NS) == '"requests";r=0;t=100'
    assert bucket.take(1, NOW_NS) == 99 * SECOND_NS + SECOND_NS // 10
    assert bucket.take(1_000, NOW_NS + 100 * SECOND_NS - 1) == 1
    assert bucket.take(1_000, NOW_NS + 100 * SECOND_NS) == 0


@pytest.mark.parametrize(("rate", "policy"), [(20, "q=20;w=1"), (0.5, "q=1;w=2"), (2.5, "q=2;w=1")])
def test_the_policy_says_how_many_in_how_long(rate: float, policy: str) -> None:
    """Quota and window as the draft has them."""
    assert Bucket(rate).policy == f'"requests";{policy}'


async def test_too_many_requests_are_told_when_to_come_back(limited: Api) -> None:
    """429 with the three headers; who waits as long is let in; health is never limited."""
    began = time.monotonic()
    answers = await asyncio.gather(*(limited("GET", "/instruments") for _ in range(6 * RATE)))
    most = RATE + RATE * (time.monotonic() - began) + 1
    refused = [answer for answer in answers if answer.status == 429]
    health = {(await limited("GET", "/../../healthz")).status for _ in range(2 * RATE)}

    assert RATE <= len(answers) - len(refused) <= most
    assert refused[0].headers["Content-Type"].startswith("application/problem+json")
    assert refused[0].body["code"] == "rate_limited"
    assert refused[0].headers["RateLimit-Policy"] == f'"requests";q={RATE};w=1'
    assert '"requests";r=0;t=1' in {answer.headers["RateLimit"] for answer in refused}
    assert health == {200}
    await asyncio.sleep(int(refused[0].headers["Retry-After"]))
    admitted = await limited("GET", "/instruments")
    # A token comes each 200 ms, and what is left is told when the answer goes out.
    assert admitted.status == 200
    assert admitted.headers["RateLimit"] in (f'"requests";r={RATE - 1};t=1', f'"requests";r={RATE};t=0')


async def test_a_batch_counts_its_orders(limited: Api) -> None:
    """Its orders are 30 seconds' worth, so the bucket must be full, and is in debt afterwards."""
    order = {"client_id": "ann", "instrument": "BTC-USD", "side": "buy", "type": "limit", "price": "1", "quantity": "1"}
    orders = [{**order, "client_order_id": str(uuid4())} for _ in range(SECONDS * RATE)]
    await asyncio.sleep(1.1)
    batch = await limited("POST", "/orders/batch", {"orders": orders})
    after = await limited("GET", "/instruments")

    assert {result["status"] for result in batch.body["results"]} == {201}
    assert after.status == 429
    seconds = int(after.headers["Retry-After"])
    assert 1 <= seconds <= SECONDS
    assert after.headers["RateLimit"] in {f'"requests";r=0;t={full}' for full in (seconds, seconds + 1)}
