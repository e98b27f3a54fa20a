"""A gateway with auth=keys: who gets in, and what each role may see and do."""

import asyncio
import json
import os
import subprocess
import time
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from app import api_keys
from app.kafka.one_shot import ToSend, send
from app.local.venue import ROOT, Venue
from app.models.api_keys import KeyRole, encode_key, new_key
from app.topics import API_KEYS
from tests import warm
from tests.until import until
from tests.web.conftest import GATE_SLOT, INSTRUMENT, Answer, Api, Keys, list_market, until_known
from web.server import ROUTES


def run_faust(venue: Venue, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """A command of the command line, against this venue."""
    return subprocess.run(
        [warm.faust(), "-A", "app", *arguments],
        cwd=ROOT,
        env=os.environ | venue.env | env,
        capture_output=True,
        text=True,
    )


@pytest.fixture
async def market(admin: Api) -> str:
    """An instrument of the test's own."""
    return await list_market(admin)


def code(answer: Answer) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status, answer.body["code"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YW5uOmFubg==",
        "Bearer ms_000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer " + "x" * 4_000,
        "Bearer ms_\u00e9\u00e9_\u00e9",
    ],
    ids=["none", "empty", "no key", "blank key", "basic", "unknown", "long", "not ASCII"],
)
async def test_without_a_valid_key_nothing_is_answered(gate: Api, header: str | None) -> None:
    """401 that says how to get in, the same for everything that is no key of ours."""
    headers = {} if header is None else {"Authorization": header}
    order = {
        "client_id": "ann",
        "instrument": INSTRUMENT,
        "side": "buy",
        "type": "limit",
        "price": "1",
        "quantity": "1",
    }
    for method, path, body in (
        ("GET", "/instruments", None),
        ("GET", "/orders", None),
        ("POST", "/orders", order),
        ("DELETE", "/orders?client_id=ann", None),
        ("POST", f"/instruments/{INSTRUMENT}/halt", None),
    ):
        answer = await gate(method, path, body, headers={**headers, "Idempotency-Key": str(uuid4())})
        assert code(answer) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="matchstream"'
        assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_what_changes_something_needs_a_trader_or_an_admin() -> None:
    """And nothing that is open to all is about orders, clients or markets."""
    needed = {(route.method, route.path): route.role for route in ROUTES}
    traders = {call for call, role in needed.items() if role is KeyRole.TRADER}

    assert all("/orders" in path for _, path in traders)
    assert all(needed[call] in (KeyRole.TRADER, KeyRole.ADMIN) for call in needed if call[0] != "GET")
    assert all("/orders" not in path and "/instruments" not in path for (_, path), role in needed.items() if not role)


async def test_health_and_figures_are_open(gate: Api) -> None:
    """Probes and Prometheus have no key; neither says anything about a client."""
    for path in ("/healthz", "/readyz", "/metrics"):
        async with gate.session.get(gate.url + path) as response:
            assert response.status == 200
            assert "ann" not in await response.text()


async def test_a_key_changed_by_one_letter_opens_nothing(gate: Api, keys: Keys) -> None:
    """The id is right, the secret is not."""
    _, key = await keys.make("eve", KeyRole.ADMIN)
    last = "A" if key.text[-2] != "A" else "B"
    assert code(await gate.with_key(key.text[:-2] + last + key.text[-1])("GET", "/orders")) == (401, "unauthorized")


async def test_a_traders_orders_are_its_own(ann: Api, bob: Api, market: str) -> None:
    """client_id comes from the key: absent or equal in the body, else 403."""
    silent = await ann.place(instrument=market, client_id=None)
    equal = await ann.place(instrument=market, client_id="ann")
    other = await ann.place(instrument=market, client_id="bob")

    assert (silent.status, equal.status) == (201, 201)
    assert silent.body["client_id"] == equal.body["client_id"] == "ann"
    assert code(other) == (403, "forbidden")
    assert (await bob("GET", f"/orders?instrument={market}")).body == []


async def test_each_order_of_a_batch_is_the_keys_clients(ann: Api, market: str) -> None:
    """And one that names another is refused in its place."""
    order = {"instrument": market, "side": "buy", "type": "limit", "price": "9", "quantity": "1"}
    batch = [{**order, "client_order_id": "one"}, {**order, "client_order_id": "two", "client_id": "bob"}]
    results = (await ann("POST", "/orders/batch", {"orders": batch})).body["results"]

    assert [result["status"] for result in results] == [201, 403]


async def test_other_peoples_orders_are_not_there(ann: Api, bob: Api, admin: Api, market: str) -> None:
    """404 for look-ups, events, amends and cancels, so that nobody learns of them; the admin sees them."""
    key = str(uuid4())
    placed = await ann.place(key, instrument=market)
    path = f"/orders/{placed.body['order_id']}"
    await _recorded(ann, path)

    for method, where, body in (
        ("GET", path, None),
        ("GET", f"{path}/events", None),
        ("GET", f"/orders/by-client-id/ann/{market}/{key}", None),
        ("PATCH", path, {"quantity": "2"}),
        ("DELETE", path, None),
        ("POST", f"{path}/cancel", None),
    ):
        assert code(await bob(method, where, body)) == (404, "unknown_order"), (method, where)
    for reader in (ann, admin):
        assert (await reader("GET", path)).body["status"] == "new"
        assert (await reader("GET", f"{path}/events")).body[0]["status"] == "new"
        assert (await reader("GET", f"/orders/by-client-id/ann/{market}/{key}")).status == 200
    assert (await admin("DELETE", path)).body["status"] == "canceled"


async def test_lists_and_mass_cancels_are_the_keys_clients(ann: Api, bob: Api, admin: Api, market: str) -> None:
    """Without a name they are one's own, with another's 403; an admin names whom it likes."""
    mine = (await ann.place(instrument=market, client_id=None)).body["order_id"]
    yours = (await bob.place(instrument=market, client_id=None)).body["order_id"]
    await _recorded(bob, f"/orders/{yours}")

    def ids(answer: Answer) -> list[str]:
        return [order["order_id"] for order in answer.body]

    assert ids(await ann("GET", f"/orders?instrument={market}")) == [mine]
    assert sorted(ids(await admin("GET", f"/orders?instrument={market}"))) == sorted([mine, yours])
    assert code(await ann("GET", f"/orders?instrument={market}&client_id=bob")) == (403, "forbidden")
    assert code(await ann("DELETE", f"/orders?instrument={market}&client_id=bob")) == (403, "forbidden")
    assert (await ann("DELETE", f"/orders?instrument={market}")).body["results"][0]["canceled"] == [mine]
    assert code(await admin("DELETE", f"/orders?instrument={market}")) == (400, "malformed_request")
    assert (await admin("DELETE", f"/orders?instrument={market}&client_id=bob")).body["results"][0]["canceled"] == [
        yours
    ]


async def test_a_viewer_sees_and_does_nothing_else(ann: Api, keys: Keys, market: str) -> None:
    """Its client's orders and the market; every change is 403."""
    viewer, _ = await keys.make("ann", KeyRole.VIEWER)
    path = f"/orders/{(await ann.place(instrument=market)).body['order_id']}"

    for reading in (path, f"/orderbook?instrument={market}", "/trades", "/orders"):
        assert (await viewer("GET", reading)).status == 200
    changes = [
        await viewer.place(instrument=market),
        await viewer("POST", "/orders/batch", {"orders": []}),
        await viewer("DELETE", path),
        await viewer("POST", f"{path}/cancel"),
        await viewer("PATCH", path, {"quantity": "2"}),
        await viewer("DELETE", "/orders"),
    ]
    assert {code(answer) for answer in changes} == {(403, "forbidden")}


async def test_markets_are_the_admins(ann: Api, admin: Api, market: str) -> None:
    """List, halt and resume."""
    rules = {
        "instrument": f"K{uuid4().hex[:8]}",
        "base_asset": "K",
        "quote_asset": "USD",
        "tick_size": "1",
        "lot_size": "1",
    }
    calls = (("/instruments", rules), (f"/instruments/{market}/halt", None), (f"/instruments/{market}/resume", None))
    assert {code(await ann("POST", *call)) for call in calls} == {(403, "forbidden")}
    assert [(await admin("POST", *call)).status for call in calls] == [201, 200, 200]


async def test_fees_and_busts_are_the_admins_and_a_client_sees_its_own_rates(ann: Api, admin: Api, market: str) -> None:
    """What others pay is between them and the venue."""
    own = {name: {"maker": "1.00", "taker": "2.00"} for name in ("ann", "bob")}
    rates = {"maker": "5.00", "taker": "6.00", "clients": own}
    calls = (
        ("PUT", f"/instruments/{market}/fees", rates),
        ("POST", f"/trades/{market}-1/bust", {"reason": "an error"}),
    )
    assert {code(await ann(*call)) for call in calls} == {(403, "forbidden")}
    assert [(await admin(*call)).status for call in calls] == [200, 404]
    for caller, seen in ((ann, {"ann": own["ann"]}), (admin, own)):
        answer = await until(
            lambda caller=caller: caller("GET", "/fees"),
            lambda found: any(fees["instrument"] == market and fees["seq"] for fees in found.body),
        )
        assert [fees["clients"] for fees in answer.body if fees["instrument"] == market] == [seen]


async def test_a_key_has_a_rate_of_its_own(keys: Keys, ann: Api, market: str) -> None:
    """Others are not held up by it."""
    slow, _ = await keys.make("slow", KeyRole.TRADER, rate=5.0)
    answers = await asyncio.gather(*(slow("GET", "/instruments") for _ in range(20)))

    refused = [answer for answer in answers if answer.status == 429]
    assert refused and refused[0].headers["RateLimit-Policy"] == '"requests";q=5;w=1'
    unlimited = await ann("GET", "/instruments")
    assert unlimited.status == 200 and "RateLimit" not in unlimited.headers


async def test_a_record_that_is_no_key_opens_nothing_and_stops_nothing(keys: Keys, ann: Api) -> None:
    """Not even the key that it was about stays valid."""
    api, key = await keys.make("ann", KeyRole.TRADER)
    foreign = (b"not JSON", b'{"key_id": 1}')
    await send(keys.broker, [ToSend(API_KEYS.name, 0, key.kept.key_id.encode(), raw) for raw in foreign])
    await until_known(api, 401)
    assert (await ann("GET", "/instruments")).status == 200
    await api_keys.revoke(keys.broker, key.kept.key_id)


async def test_trades_over_a_websocket_need_the_key_too(gate: Api, ann: Api, market: str) -> None:
    """The handshake is refused with 401; with the header the trades come."""
    url = f"{gate.url}/ws/trades?instrument={market}"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await gate.session.ws_connect(url)
    assert refused.value.status == 401
    async with gate.session.ws_connect(url, headers=ann.authorization) as socket:
        await ann.place(instrument=market, side="sell")
        await ann.place(instrument=market, side="buy", self_trade_prevention="none")
        trade = json.loads(await asyncio.wait_for(socket.receive_str(), 60))
    assert trade["instrument"] == market


async def test_a_websocket_takes_the_key_as_an_offered_subprotocol(gate: Api, ann: Api) -> None:
    """Browsers cannot send headers with it; the gateway chooses the other name, so that no answer repeats the key."""
    url, key = f"{gate.url}/stream", ann.authorization["Authorization"].removeprefix("Bearer ")
    for offered in (["matchstream"], [f"bearer.{key}"], ["matchstream", f"bearer.{key}x"]):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await gate.session.ws_connect(url, protocols=offered)
    async with gate.session.ws_connect(url, protocols=["matchstream", f"bearer.{key}"]) as socket:
        assert socket.protocol == "matchstream"
        await socket.send_json({"method": "subscribe", "params": {"channel": "orders", "instrument": INSTRUMENT}})
        assert "result" in await socket.receive_json()
        assert (await socket.receive_json())["client_id"] == "ann"


@pytest.mark.parametrize("how", ["revoked", "over"])
async def test_a_key_and_its_websocket_end(gate: Api, keys: Keys, how: str) -> None:
    """Though nothing is sent on it, and when its time is over without anybody doing anything; other keys' live on."""
    other, _ = await keys.make("ann", KeyRole.VIEWER)
    expires_at = time.time_ns() // 1_000_000 + 8_000 if how == "over" else None
    api, key = await keys.make("ann", KeyRole.VIEWER, expires_at=expires_at)
    async with (
        gate.session.ws_connect(f"{gate.url}/ws/trades", headers=api.authorization) as socket,
        gate.session.ws_connect(f"{gate.url}/ws/trades", headers=other.authorization) as stays,
    ):
        if how == "revoked":
            await api_keys.revoke(keys.broker, key.kept.key_id)
        assert (await socket.receive(timeout=60)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        with pytest.raises(TimeoutError):
            await stays.receive(timeout=0.2)
    await until_known(api, 401)


async def test_keys_from_the_command_line(venue: Venue, gate: Api) -> None:
    """create-key prints the key once, list-keys has everything but the key, revoke-key ends it."""
    made = run_faust(venue, "create-key", "--client-id", "carl", "--role", "trader", "--rate", "50", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    carl = gate.with_key(key["key"])
    await until_known(carl)
    listed = run_faust(venue, "list-keys", "--json").stdout
    mine = [row for row in json.loads(listed) if row["key_id"] == key["key_id"]]

    assert mine == [{name: value for name, value in key.items() if name != "key"}]
    assert (mine[0]["client_id"], mine[0]["role"], mine[0]["rate"]) == ("carl", "trader", 50.0)
    assert key["key"].split("_", 2)[2] not in listed
    placing = ("place", INSTRUMENT, "buy", "0.1", "1.00", "--url", gate.url, "--json")
    placed = run_faust(venue, *placing, MATCHSTREAM_API_KEY=key["key"])
    assert json.loads(placed.stdout)["status"] == "new", placed.stderr
    revoked = run_faust(venue, "revoke-key", key["key_id"])
    assert revoked.stdout == f"revoked {key['key_id']}\n", revoked.stderr
    await until_known(carl, 401)
    again = run_faust(venue, "revoke-key", key["key_id"])
    assert (again.returncode, again.stderr.splitlines()[-1]) == (
        1,
        f"Error: unknown key id {key['key_id']}: `faust -A app list-keys` shows all",
    )


@pytest.mark.parametrize("rate", ["1e-300", "0", "-1", "1e300", "inf", "nan"])
def test_a_rate_that_is_none_is_refused_by_the_command(venue: Venue, rate: str) -> None:
    """In one sentence, and nothing is written."""
    told = run_faust(venue, "create-key", "--client-id", "ann", "--role", "trader", "--rate", rate)
    assert told.returncode == 1 and told.stdout == ""
    assert told.stderr.splitlines()[-1].startswith("Error: invalid --rate ")
    assert ": expected 0.001 to 1,000,000 requests a second" in told.stderr


async def test_a_gateway_outlives_what_anyone_writes_among_the_keys(venue: Venue, keys: Keys) -> None:
    """Records that are no keys are counted, named and passed over; the next key opens."""
    right, stranger = new_key("ann", KeyRole.TRADER, 0).kept, uuid4().hex[:12]
    value = json.loads(encode_key(right))
    foreign: list[tuple[bytes, bytes | None]] = [
        *((right.key_id.encode(), json.dumps(value | {"rate": rate}).encode()) for rate in (1e-300, 0, 1e300)),
        (right.key_id.encode(), json.dumps(value | {"digest": "é" * 64}).encode()),
        (right.key_id.encode(), json.dumps(value | {"expires_at": 10**30}).encode()),
        (stranger.encode(), encode_key(right)),
        (b"\xff", b"\xff"),
        (b"", b""),
    ]
    before, process = await _unusable(keys.gate), venue.processes[f"gateway-{GATE_SLOT}"].identity
    producer = AIOKafkaProducer(bootstrap_servers=keys.broker, compression_type="zstd")
    await producer.start()
    for key, record in foreign:
        await producer.send_and_wait(API_KEYS.name, record, key=key, partition=0)
    await producer.stop()

    await keys.make("ann", KeyRole.TRADER)
    assert await _unusable(keys.gate) - before == len(foreign)
    assert venue.processes[f"gateway-{GATE_SLOT}"].identity == process
    assert venue.log(f"gateway-{GATE_SLOT}").read_text().count("skipped an unusable record") >= len(foreign)
    assert json.loads(run_faust(venue, "list-keys", "--json").stdout)


async def _unusable(gate: Api) -> float:
    """How many records this gateway has passed over in the keys' topic."""
    async with gate.session.get(f"{gate.url}/metrics") as response:
        lines = [line for line in (await response.text()).splitlines() if line.startswith("unusable_records_total{")]
    return sum(float(line.split()[-1]) for line in lines if API_KEYS.name in line)


async def test_a_new_gateway_knows_the_keys_and_no_log_has_one(
    venue: Venue, session: aiohttp.ClientSession, ann: Api, keys: Keys
) -> None:
    """It reads them before it is ready; and nothing that was presented stands in any log."""
    _, revoked = await keys.make("gone", KeyRole.TRADER)
    await api_keys.revoke(keys.broker, revoked.kept.key_id)
    await venue.stop_worker("gateway", GATE_SLOT)
    await venue.start_worker("gateway", GATE_SLOT, {"AUTH": "keys", "ORDER_LOG": "all"})
    await venue.wait_ready("gateway", GATE_SLOT)

    async def lines_of_bob() -> int:
        logs = [path for path in venue.folder.rglob("orders.log") if f"gateway-{GATE_SLOT}" in path.parts]
        return sum(path.read_bytes().count(b"forbidden") for path in logs)

    before = await lines_of_bob()
    assert (await ann.with_key(revoked.text)("GET", "/orders")).status == 401
    assert (await ann.place()).status == 201
    assert (await ann.place(client_id="bob")).status == 403
    await until(lines_of_bob, lambda now: now > before)  # the order log is written in batches
    written = b"".join(path.read_bytes() for path in venue.folder.rglob("*.log"))
    for authorization in (ann.authorization["Authorization"].removeprefix("Bearer "), revoked.text):
        assert authorization.split("_", 2)[2].encode() not in written


async def _recorded(api: Api, path: str) -> None:
    """Wait until Postgres has the order."""
    await until(lambda: api("GET", f"{path}/events"), lambda found: bool(found.body))
