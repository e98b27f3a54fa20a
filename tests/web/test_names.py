"""Local does not mean trusted: without keys only this machine's names are answered, and only their pages may ask."""

from types import SimpleNamespace
from uuid import uuid4

import pytest

from app.configuration import Settings
from app.local.venue import Venue
from tests.web.conftest import ALLOWED_HOST, Api
from tests.web.raw import exchange
from web.edge import names

WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
ORDER = b'{"client_id":"ann","instrument":"%s","side":"buy","type":"limit","price":"1","quantity":"1"}'
CALLS = [
    ("GET", "/api/v1/orders"),
    ("GET", "/api/v1/instruments"),
    ("POST", "/api/v1/orders"),
    ("POST", "/api/v1/instruments/{market}/halt"),
    ("DELETE", "/api/v1/orders?client_id=ann"),
    ("GET", "/ws/trades"),
    ("GET", "/stream"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/journal?instrument={market}"),
    ("GET", "/api/v1/clients/ann/balances"),
    ("GET", "/no/such/path"),
]
STRANGERS = [
    ("evil.example", None, (421, "other_host")),
    ("localhost.evil.example:{port}", None, (421, "other_host")),
    ("evil@localhost", None, (421, "other_host")),
    ("10.0.0.1:{port}", None, (421, "other_host")),
    ("0.0.0.0:{port}", None, (421, "other_host")),
    ("evil.example:{port}", "http://evil.example:{port}", (421, "other_host")),
    ("localhost:{port}", "http://evil.example", (403, "other_origin")),
    ("127.0.0.1:{port}", "http://evil.example:{port}", (403, "other_origin")),
    ("[::1]:{port}", "null", (403, "other_origin")),
    ("localhost", "http://localhost.evil.example", (403, "other_origin")),
]
FRIENDS = [
    ("localhost", None),
    ("LOCALHOST:1", None),
    ("127.0.0.1:{port}", "http://localhost:3000"),
    ("[::1]:{port}", "https://[::1]"),
    (ALLOWED_HOST, None),
    ("localhost:{port}", f"https://{ALLOWED_HOST}:8443"),
]


def request(url: str, call: tuple[str, str], host: str, origin: str | None, market: str) -> bytes:
    """A request as a browser would send it, a WebSocket's handshake included."""
    (method, path), port = call, url.rpartition(":")[2]
    body = ORDER % market.encode() if call == ("POST", "/api/v1/orders") else b""
    lines = [f"{method} {path.format(market=market)} HTTP/1.1", f"Host: {host.format(port=port)}"]
    lines += [] if origin is None else [f"Origin: {origin.format(port=port)}"]
    lines += (
        WEBSOCKET
        if path in ("/ws/trades", "/stream")
        else [f"Content-Length: {len(body)}", f"Idempotency-Key: {uuid4()}"]
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(("host", "origin", "refusal"), STRANGERS, ids=str)
async def test_a_stranger_is_refused_whatever_it_asks(
    api: Api, market: str, host: str, origin: str | None, refusal: tuple[int, str]
) -> None:
    """Reading, writing, streams, health and paths that are none; the sentence names the setting."""
    for call in CALLS:
        answer = await exchange(api.url, request(api.url, call, host, origin, market))
        assert (answer.status, answer.body["code"]) == refusal, call
        assert answer.headers["content-type"] == "application/problem+json"
        assert "allowed_hosts" in answer.body["detail"]
    # Nothing of it was done: neither the order nor the halt has made a report.
    assert (await api.place(instrument=market)).body["seq"] == 2


@pytest.mark.parametrize(("host", "origin"), FRIENDS, ids=str)
async def test_local_names_and_those_of_the_setting_are_answered(
    api: Api, market: str, host: str, origin: str | None
) -> None:
    """With any port, in any letter case."""
    answers = [await exchange(api.url, request(api.url, call, host, origin, market)) for call in CALLS]
    assert [answer.status for answer in answers] == [200, 200, 201, 200, 200, 101, 101, 200, 200, 200, 200, 404]


@pytest.mark.parametrize("role", ["matching", "recording"])
async def test_a_workers_own_server_has_the_same_rule(venue: Venue, role: str) -> None:
    """Its figures tell how much is traded."""
    url = venue.web_url(role)
    for host, status in (("localhost", 200), ("evil.example", 421)):
        assert (await exchange(url, request(url, ("GET", "/metrics"), host, None, ""))).status == status


async def test_behind_keys_any_name_is_answered_but_no_page_of_another_site(gate: Api) -> None:
    """A proxy may give the gateway any name, and a key protects; a page may only ask where it came from."""
    for host, origin, status in (
        ("venue.example", None, 401),
        ("venue.example", "https://venue.example", 401),
        ("venue.example", f"https://{ALLOWED_HOST}", 401),
        ("venue.example", "https://evil.example", 403),
    ):
        for call in (("GET", "/ws/trades"), ("POST", "/api/v1/orders"), ("GET", "/api/v1/orders")):
            answer = await exchange(gate.url, request(gate.url, call, host, origin, "BTC-USD"))
            assert answer.status == status, (host, origin, call)


@pytest.mark.parametrize(
    ("is_exposed", "allowed", "has_keys", "refuses"),
    [
        (False, "", False, True),
        (False, "", True, False),
        (True, "", False, False),
        (True, "gateway-0", False, True),
    ],
)
async def test_where_the_host_is_checked(
    is_exposed: bool, allowed: str, has_keys: bool, refuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On loopback without keys; beyond, where only the operator knows the names, once the setting has them."""
    monkeypatch.setattr(names, "settings", Settings(allowed_hosts=allowed))
    monkeypatch.setattr(names, "is_exposed", lambda: is_exposed)
    names.is_trusted.cache_clear()
    web_app = SimpleNamespace(middlewares=[])
    names.guard_names(web_app, has_keys)  # type: ignore[arg-type]
    (guarded,) = web_app.middlewares

    async def handler(_: object) -> str:
        return "answered"

    async def ask(host: str) -> object:
        try:
            return await guarded(SimpleNamespace(headers={"Host": host}), handler)
        except names.Problem as problem:
            return problem.status

    assert await ask("evil.example") == (421 if refuses else "answered")
    assert await ask("localhost:8080") == "answered"
    assert await ask("gateway-0:8080") == ("answered" if allowed or not refuses else 421)
    names.is_trusted.cache_clear()


@pytest.mark.parametrize("text", ["http://venue.example", "venue.example:8080", "a b", "*"])
def test_a_setting_that_is_no_list_of_names_is_refused(text: str) -> None:
    """The sentence says what is wanted."""
    with pytest.raises(ValueError, match="give host names or addresses without a port, separated by commas"):
        Settings(allowed_hosts=text)
