"""A venue with two gateways for all tests of the API, and a small client that shows answers as they are."""

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import orjson
import pytest

from app import api_keys
from app.local.venue import Venue
from app.models.api_keys import KeyRole, NewKey, new_key
from tests.until import until, until_done
from tests.venues import running_venue
from tests.web.contract import complaint

INSTRUMENT = "BTC-USD"
ALLOWED_HOST = "venue.test"  # beside this machine's own names
GATE_SLOT = 2
MATCHED, PATIENT = "?wait=matched", {"Prefer": "wait=15"}  # longer than the two seconds that a gateway gives


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: Any
    body: Any


class Api:
    """One gateway as an HTTP client sees it, with an API key or without."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str | None = None) -> None:
        self.session, self.url = session, url
        self.authorization = {"Authorization": f"Bearer {key}"} if key else {}

    def with_key(self, key: str) -> "Api":
        """The same gateway with this API key."""
        return Api(self.session, self.url, key)

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Send a request to a path below /api/v1, a str or dict as JSON; the answer is held to the contract."""
        headers = {"Content-Type": "application/json", **self.authorization, **options.pop("headers", {})}
        data = (
            body if isinstance(body, bytes | None) else body.encode() if isinstance(body, str) else orjson.dumps(body)
        )
        url = f"{self.url}/api/v1{path}"
        async with self.session.request(method, url, data=data, headers=headers, **options) as response:
            raw = await response.read()
            answer = Answer(response.status, response.headers, orjson.loads(raw) if raw else None)
        if method != "HEAD":
            wrong = complaint(method, response.url.path, answer.status, response.content_type, answer.body)
            assert wrong is None, wrong
        return answer

    async def place(self, key: str | None = None, path: str = f"/orders{MATCHED}", **terms: Any) -> Answer:
        """Place an order and wait for the engine; by default a limit order of a new client."""
        order = {"client_id": "ann", "instrument": INSTRUMENT, "side": "buy", "type": "limit", "quantity": "1"}
        order |= {"price": "100.00"} | terms
        order = {name: value for name, value in order.items() if value is not None}
        headers = {"Idempotency-Key": key or str(uuid4())} | (PATIENT if path.endswith(MATCHED) else {})
        return await self("POST", path, order, headers=headers)

    async def replay(self, key: str, **terms: Any) -> Answer:
        """The answer to a repeat, once it is called one: a Valkey that is late is not asked for a second."""
        return await until(
            lambda: self.place(key, path="/orders", **terms), lambda found: "Idempotent-Replayed" in found.headers
        )


@pytest.fixture(scope="package")
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """Two gateways and each other role; no snapshots and ticks but those that tests cause, so that seqs are theirs."""
    workers = {"matching": 1, "recording": 1, "clearing": 1, "analytics": 1, "gateway": 2}
    env = {"SNAPSHOT_INTERVAL_S": "0", "BAR_CLOSE_S": "0", "ALLOWED_HOSTS": ALLOWED_HOST}
    async with running_venue(tmp_path_factory.mktemp("gateways"), workers, env=env) as running:
        yield running


@pytest.fixture(scope="package")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as open_session:
        yield open_session


@pytest.fixture(scope="package")
def api(venue: Venue, session: aiohttp.ClientSession) -> Api:
    """The first gateway."""
    return Api(session, venue.url)


@pytest.fixture(scope="package")
def other_api(venue: Venue, session: aiohttp.ClientSession) -> Api:
    """The second gateway."""
    return Api(session, venue.web_url("gateway", 1))


@pytest.fixture(scope="package")
async def gate(venue: Venue, session: aiohttp.ClientSession) -> AsyncIterator[Api]:
    """A gateway that asks for keys, as somebody without one sees it."""
    await venue.start_worker("gateway", GATE_SLOT, {"AUTH": "keys"})
    await venue.wait_ready("gateway", GATE_SLOT)
    yield Api(session, venue.web_url("gateway", GATE_SLOT))
    await venue.stop_worker("gateway", GATE_SLOT)


class Keys:
    """Makes keys that the gateway knows."""

    def __init__(self, venue: Venue, gate: Api) -> None:
        self.broker, self.gate = venue.servers.broker, gate

    async def make(self, client_id: str, role: KeyRole, **more: Any) -> tuple[Api, NewKey]:
        key = new_key(client_id, role, time.time_ns() // 1_000_000, **more)
        await api_keys.keep(self.broker, key.kept)
        api = self.gate.with_key(key.text)
        await until_known(api)
        return api, key


async def until_known(api: Api, status: int = 200) -> None:
    """Wait until the gateway has read the newest record of the keys' topic."""
    await until(lambda: api("GET", "/instruments"), lambda answer: answer.status == status)


@pytest.fixture(scope="package")
def keys(venue: Venue, gate: Api) -> Keys:
    return Keys(venue, gate)


@pytest.fixture(scope="package")
async def ann(keys: Keys) -> Api:
    """A trader."""
    return (await keys.make("ann", KeyRole.TRADER))[0]


@pytest.fixture(scope="package")
async def bob(keys: Keys) -> Api:
    """Another trader."""
    return (await keys.make("bob", KeyRole.TRADER))[0]


@pytest.fixture(scope="package")
async def admin(keys: Keys) -> Api:
    """The one who runs the venue."""
    return (await keys.make("ops", KeyRole.ADMIN))[0]


@pytest.fixture
async def market(api: Api, other_api: Api) -> str:
    """An instrument of the test's own, with ticks of 0.01 and lots of 0.0001; both gateways know it."""
    name = await list_market(api)
    await until(lambda: other_api("GET", f"/orderbook?instrument={name}"), lambda found: found.status == 200)
    return name


def public(trade: dict[str, Any]) -> dict[str, Any]:
    """A trade of a list as a stream tells it, without the fees that this caller may see."""
    return {name: value for name, value in trade.items() if name not in ("buyer_fee", "seller_fee")}


async def list_market(api: Api, **more: Any) -> str:
    """List one with a new name through this gateway, which therefore knows it."""
    name = f"T{uuid4().hex[:10]}-USD"
    rules = {"instrument": name, "base_asset": "T", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.0001"}
    rules |= more
    key = {"Idempotency-Key": str(uuid4())}
    listed = await until_done(lambda: api("POST", "/instruments", rules, headers=key))
    assert listed.status == 201, listed
    return name
