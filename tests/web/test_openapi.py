"""The contract in one document: served as committed, true of every route, shown by a page that asks nobody else."""

import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from tests.until import until
from tests.web.conftest import Answer, Api
from tests.web.contract import DOCUMENT
from web.rest.docs import STATIC
from web.server import ROUTES

UNDESCRIBED = {"/docs/rapidoc-min.js", "/", "/static/{file:.+}"}
CALLS = [(route.method, route.path) for route in ROUTES if route.path not in UNDESCRIBED]
EXAMPLE_ID = "00000000-0000-8000-8000-000000000000"


def filled(path: str) -> str:
    """A path with something in its places."""
    return re.sub(r"\{[a-z_]+\}", "X", path.replace("{order_id}", EXAMPLE_ID))


async def test_the_committed_document_is_served(api: Api) -> None:
    """To whoever wants to make a client of it."""
    assert (await api("GET", "/openapi.json")).body == DOCUMENT


def test_every_call_is_described_once() -> None:
    """One route, one operation, one name."""
    operations = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item]
    names = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]

    assert sorted(operations) == sorted(CALLS)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("method", "path"), CALLS, ids=["-".join(call) for call in CALLS])
async def test_a_call_takes_the_parameters_that_are_described(api: Api, method: str, path: str) -> None:
    """The refusal of an unknown one names the others; what takes none ignores them or says so."""
    described = [p["name"] for p in DOCUMENT["paths"][path][method.lower()]["parameters"] if p["in"] == "query"]
    async with api.session.request(method, f"{api.url}{filled(path)}?no_such_parameter=1") as response:
        answer = await response.json() if "json" in response.content_type else {}

    if "unknown parameter" in answer.get("detail", ""):
        known = answer["detail"].partition("known are ")[2]
        assert sorted(name for name in known.split(", ") if name) == sorted(described)
    else:
        assert response.status == 200
        assert not described


@pytest.mark.parametrize(("method", "path"), CALLS, ids=["-".join(call) for call in CALLS])
async def test_other_verbs_are_405_with_the_right_ones(api: Api, method: str, path: str) -> None:
    """As a problem, with or without a trailing slash."""
    other = "POST" if "put" in DOCUMENT["paths"][path] else "PUT"
    for suffix in ("", "/"):
        async with api.session.request(other, f"{api.url}{filled(path)}{suffix}") as response:
            assert (response.status, response.content_type) == (405, "application/problem+json")
            assert method in response.headers["Allow"].split(",")


async def test_head_is_get_without_the_body(api: Api) -> None:
    """With the same headers."""
    for path in ("/orderbook?instrument=BTC-USD", "/orderbook?instrument=NO-SUCH"):
        got, head = await api("GET", path), await api("HEAD", path)
        assert (head.status, head.body) == (got.status, None)
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


def examples() -> list[tuple[str, str, dict[str, str], object]]:
    """Of each call: method, path, the parameters that have an example, and the body's example."""
    found = []
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            given = {p["name"]: p["example"] for p in operation["parameters"] if "example" in p}
            body = operation.get("requestBody", {"content": {"": {}}})["content"]
            found.append((method.upper(), path, given, next(iter(body.values())).get("example")))
    return found


async def new_trade(api: Api, market: str) -> str:
    """The id of a trade that nobody has busted."""
    before = (await api("GET", f"/trades?instrument={market}")).body
    for side in ("sell", "buy"):
        await api.place(instrument=market, client_id=f"{side}er", side=side, price="100.00")
    found = await until(lambda: api("GET", f"/trades?instrument={market}"), lambda got: len(got.body) > len(before))
    return str(found.body[0]["trade_id"])


async def test_every_example_is_taken_as_it_is(api: Api, market: str) -> None:
    """What the page's `Try` sends: of each call once, and again, on a market that nobody else has touched.

    An order's or a trade's id has no example, so a reader has made one. The client of the examples has traded, so that
    there is something to settle. A WebSocket is no call to try.
    """
    await api.place(client_id="alice", instrument=market, side="sell")
    await api.place(client_id="bob", instrument=market)
    await until(lambda: api("GET", f"/clients/alice/positions?instrument={market}"), lambda found: found.body)
    for method, path, given, body in [*examples(), *examples()]:
        if path in ("/ws/trades", "/stream"):
            continue
        if "{order_id}" in path:
            given = {**given, "order_id": (await api.place(client_id="alice", instrument=market)).body["order_id"]}
        if "{trade_id}" in path:
            given = {**given, "trade_id": await new_trade(api, market)}
        query = {name: value.replace("BTC-USD", market) for name, value in given.items() if f"{{{name}}}" not in path}
        url = api.url + path.format_map(given).replace("BTC-USD", market)
        sent = None if body is None else json.dumps(body).replace("BTC-USD", market)

        async def ask(url: str = url, sent: str | None = sent, method: str = method, query: object = query) -> Answer:
            headers = {} if sent is None else {"Content-Type": "application/json"}
            async with api.session.request(method, url, params=query, data=sent, headers=headers) as response:
                is_json = response.content_type == "application/json"
                return Answer(response.status, response.headers, await response.json() if is_json else None)

        # Postgres is milliseconds behind, and the engine may take longer than a gateway waits.
        answer = await until(ask, lambda got: got.status not in (202, 404))
        assert answer.status < 300, (method, path, answer)
        if path.endswith("/batch"):
            assert {result["status"] for result in answer.body["results"]} == {201}, answer


MADE = ("order_id", "trade_id")


def test_every_body_and_every_needed_parameter_has_an_example() -> None:
    """But the id of an order or a trade, which nobody knows before there is one."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            for parameter in operation["parameters"]:
                assert not parameter["required"] or "example" in parameter or parameter["name"] in MADE, path
            for content in operation.get("requestBody", {"content": {}})["content"].values():
                assert content["example"], (method, path)


class _Addresses(HTMLParser):
    """Everything that a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "spec-url", "action")]


async def test_the_page_asks_nobody_but_this_server(api: Api) -> None:
    """Its addresses are ours, and its policy lets the browser ask nobody else."""
    async with api.session.get(f"{api.url}/docs") as response:
        page, headers = await response.text(), response.headers
    addresses = _Addresses()
    addresses.feed(page)

    assert response.content_type == "text/html"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "http" not in headers["Content-Security-Policy"]
    for address in addresses.found:
        if address != "data:,":
            assert address.startswith("/"), address
            async with api.session.get(api.url + address) as response:
                assert response.status == 200


async def test_the_scripts_of_others_are_their_authors(api: Api) -> None:
    """Unchanged, as their hashes say, with their licences beside them."""
    others = {("", "/docs"): "SHA256SUMS", ("vendor/", "/static/vendor"): "vendor/SHA256SUMS"}
    for (folder, path), sums in others.items():
        for line in (STATIC / sums).read_text().splitlines():
            wanted, name = line.split()
            async with api.session.get(f"{api.url}{path}/{name}") as response:
                served = await response.read()
            committed = (STATIC / folder / name).read_bytes()
            assert hashlib.sha256(served).hexdigest() == hashlib.sha256(committed).hexdigest() == wanted
    for licence, words in (("rapidoc", "MIT"), ("vendor/uplot", "MIT"), ("vendor/lightweight-charts", "Apache")):
        assert words in (STATIC / f"{licence}.LICENSE.txt").read_text()
