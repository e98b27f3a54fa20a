"""What must be refused, each with its answer: a table of nonsense and malice, sent byte for byte.

Every row is one mistake in a request that would otherwise be answered 201 or 200 (`test_without_the_mistake…`).
"""

import asyncio
import json
import re
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from app.local.venue import Venue
from tests.until import until
from tests.web.conftest import Api, list_market
from tests.web.raw import RawAnswer, exchange

ORDER = {"client_id": "mallory", "side": "buy", "type": "limit", "price": "1.00", "quantity": "1.0000"}
MALFORMED, INVALID, NOT_FOUND = (400, "malformed_request"), (422, "invalid_value"), (404, "not_found")
UNKNOWN, TOO_LARGE, MEDIA = (404, "unknown_order"), (413, "body_too_large"), (415, "unsupported_media_type")
Sent = bytes | tuple[bytes, ...]


class Row(NamedTuple):
    """A mistake, how it is sent to an instrument, and status and code of its answer."""

    mistake: str
    make: Callable[[str], Sent]
    answer: tuple[int, str]
    pause_s: float = 0.0


def head(method: str = "POST", path: str = "/api/v1/orders", *more: str, key: str | None = "new") -> bytes:
    """The head of a request, without its last line."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *more]
    if key is not None:
        lines.append(f"Idempotency-Key: {uuid4() if key == 'new' else key}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"


def sized(body: bytes, *more: str, path: str = "/api/v1/orders", key: str | None = "new") -> bytes:
    """A POST with a body of its length."""
    type_ = () if any(line.startswith("Content-Type") for line in more) else ("Content-Type: application/json",)
    return head("POST", path, *type_, f"Content-Length: {len(body)}", *more, key=key) + b"\r\n" + body


def chunked(chunks: bytes, *more: str) -> bytes:
    """A POST whose body comes in these chunks."""
    return head("POST", "/api/v1/orders", "Content-Type: application/json", "Transfer-Encoding: chunked", *more) + (
        b"\r\n" + chunks
    )


def good(instrument: str, **terms: Any) -> bytes:
    """An order, with these terms instead."""
    return json.dumps({**ORDER, "instrument": instrument, **terms}, ensure_ascii=False).encode()


def order(mistake: str, answer: tuple[int, str], **terms: Any) -> Row:
    """A row with other terms."""
    return Row(mistake, lambda instrument: sized(good(**{"instrument": instrument, **terms})), answer)


def written(mistake: str, answer: tuple[int, str], quantity: str) -> Row:
    """A row whose quantity is written like this, not as a string."""
    return Row(mistake, lambda i: sized(good(i).replace(b'"1.0000"', quantity.encode())), answer)


def body(mistake: str, answer: tuple[int, str], change: Callable[[bytes], bytes]) -> Row:
    """A row with the body of an order, changed."""
    return Row(mistake, lambda instrument: sized(change(good(instrument))), answer)


def header(mistake: str, answer: tuple[int, str], *lines: str, key: str | None = "new") -> Row:
    """A row with more header lines."""
    return Row(mistake, lambda instrument: sized(good(instrument), *lines, key=key), answer)


def get(mistake: str, answer: tuple[int, str], path: str, method: str = "GET") -> Row:
    """A row without a body."""
    return Row(mistake, lambda instrument: head(method, path.replace("{i}", instrument), key=None) + b"\r\n", answer)


def broken(mistake: str, request: bytes) -> Row:
    """A row that is no HTTP."""
    return Row(mistake, lambda instrument: request, MALFORMED)


NUMBERS = [
    written("number beyond any float", INVALID, "1e999"),
    written("exponent that takes a minute to expand", INVALID, "1E+1000000"),
    order("the same as text", INVALID, quantity="1E+1000000"),
    written("NaN", MALFORMED, "NaN"),
    written("Infinity", MALFORMED, "-Infinity"),
    written("exponent of 60,000 digits", INVALID, "1e" + "9" * 60_000),
    written("minus zero", (422, "incorrect_quantity"), "-0"),
    written("zero", (422, "incorrect_quantity"), "0"),
    written("negative", INVALID, "-1"),
    order("exponent in text", INVALID, quantity="1e0"),
    written("leading zero", MALFORMED, "01"),
    written("5,000 digits", INVALID, "9" * 5_000),
    written("5,000 decimals", INVALID, "0." + "1" * 5_000),
    written("nine decimals", INVALID, "0.000000001"),
    written("no whole number of lots", (422, "incorrect_quantity"), "0.00001"),
    written("hexadecimal", MALFORMED, "0x10"),
    written("true", INVALID, "true"),
    written("null for a number", MALFORMED, "null"),
    written("list", INVALID, "[1]"),
    written("object", MALFORMED, '{"a":1,"a":2}'),
    order("plus sign", INVALID, quantity="+1"),
    order("underscore", INVALID, quantity="1_0"),
    order("space in a number", INVALID, quantity=" 1"),
    order("line break", INVALID, quantity="1\n"),
    order("comma", INVALID, quantity="1,5"),
    order("no digit before the point", INVALID, quantity=".5"),
    order("no digit after the point", INVALID, quantity="1."),
    order("thirteen digits", INVALID, quantity="1000000000000"),
    order("Arabic digit", INVALID, quantity="\u0661"),
    order("full-width digit", INVALID, quantity="\uff11"),
    order("empty text", INVALID, quantity=""),
    order("NUL in a number", INVALID, quantity="1\0"),
    order("price off the tick", (422, "invalid_price_increment"), price="1.001"),
    order("limit order without a price", (422, "unsupported_order"), price=None),
    order(
        "stop-limit order without a price", (422, "unsupported_order"), type="stop_limit", stop_price="2", price=None
    ),
    order("stop order with a price", (422, "unsupported_order"), type="stop", stop_price="2"),
    order("market order with a word for a price", INVALID, type="market", price="abc"),
]
FIELDS = [
    order("unknown field", MALFORMED, admin=True),
    order("prototype", MALFORMED, __proto__={"admin": True}),
    order("list for a word", MALFORMED, side=["buy"]),
    order("unknown side", INVALID, side="hold"),
    order("word that only lowers to one", INVALID, type="\u212aimit"),
    order("text for a truth", MALFORMED, post_only="true"),
    order("number for a name", MALFORMED, client_id=7),
    order("empty name", MALFORMED, client_id=""),
    order("65 characters", MALFORMED, client_id="m" * 65),
    order("NUL in a name", MALFORMED, client_id="mal\0lory"),
    order("final line break in a name", MALFORMED, client_id="mallory\n"),
    order("Cyrillic letter in a name", MALFORMED, client_id="m\u0430llory"),
    order("SQL in a name", MALFORMED, client_id="'; DROP TABLE orders; --"),
    order("path in a name", MALFORMED, client_id="../../etc/passwd"),
    order("this folder for a name", MALFORMED, client_id="."),
    order("the folder above for a name", MALFORMED, client_id=".."),
    order("the folder above for an instrument", MALFORMED, instrument=".."),
    order("the folder above for a key", MALFORMED, client_order_id=".."),
    order("unlisted instrument", (404, "unknown_instrument"), instrument="NO-SUCH"),
    order("reserved instrument", (404, "unknown_instrument"), instrument="_partition-0"),
    order("time before the year 1", INVALID, time_in_force="GTD", expire_time="0001-01-01T00:00:00+14:00"),
    order("time after the year 9999", INVALID, time_in_force="GTD", expire_time="9999-12-31T23:59:59-12:00"),
    order("30 February", MALFORMED, time_in_force="GTD", expire_time="2030-02-30T00:00:00Z"),
    order("time as a number", MALFORMED, time_in_force="GTD", expire_time=4_000_000_000),
    order("another key in the body", (400, "different_keys"), client_order_id="another"),
]
BODIES = [
    body("nothing", MALFORMED, lambda _: b""),
    body("half of it", MALFORMED, lambda good: good[:40]),
    body("something behind it", MALFORMED, lambda good: good + b"x"),
    body("two of them", MALFORMED, lambda good: good + good),
    body("list around it", MALFORMED, lambda good: b"[" + good + b"]"),
    body("null", MALFORMED, lambda _: b"null"),
    body("name twice", MALFORMED, lambda good: good.replace(b'"side"', b'"client_id": "eve", "side"')),
    body(
        "name twice, once escaped", MALFORMED, lambda good: good.replace(b'"side"', b'"client\\u005fid": "e", "side"')
    ),
    body("byte order mark", MALFORMED, lambda good: b"\xef\xbb\xbf" + good),
    body("UTF-16", MALFORMED, lambda good: good.decode().encode("utf-16")),
    body("no UTF-8", MALFORMED, lambda good: good.replace(b"mallory", b"mall\xffry")),
    body("half a surrogate", MALFORMED, lambda good: good.replace(b"mallory", b"mal\\ud800")),
    body("no UTF-8 in a number", MALFORMED, lambda good: good.replace(b"1.0000", b"1\xff")),
    body("overlong UTF-8", MALFORMED, lambda good: good.replace(b"mallory", b"mal\xc0\xaf")),
    body("comment", MALFORMED, lambda good: b"/* */" + good),
    body("nested 30,000 deep in a number", MALFORMED, lambda g: g.replace(b'"1.00"', b"[" * 30_000 + b"]" * 30_000)),
    body("nested 30,000 deep in nothing known", MALFORMED, lambda g: g[:-1] + b',"x":' + b"[" * 30_000),
    body("70,000 bytes", TOO_LARGE, lambda good: good + b" " * 70_000),
    Row("70,000 bytes in chunks", lambda i: chunked(b"%x\r\n" % 70_000 + b" " * 70_000 + b"\r\n0\r\n\r\n"), TOO_LARGE),
    Row(
        "a gigabyte announced",
        lambda i: head("POST", "/api/v1/orders", f"Content-Length: {2**30}") + b"\r\n",
        TOO_LARGE,
    ),
    Row(
        "batch of 2 MB",
        lambda i: sized(b'{"orders":[' + b" " * 2**21, path="/api/v1/orders/batch", key=None),
        TOO_LARGE,
    ),
    Row("batch of none", lambda i: sized(b'{"orders":[]}', path="/api/v1/orders/batch", key=None), MALFORMED),
    Row("batch with a header key", lambda i: sized(b'{"orders":[1]}', path="/api/v1/orders/batch"), MALFORMED),
    Row(
        "compressed body",
        lambda i: sized(zlib.compress(good(i)), "Content-Encoding: deflate"),
        MEDIA,
    ),
    Row(
        "compressed in secret",
        lambda i: sized(zlib.compress(good(i)), "Content-Encoding: identity", "Content-Encoding: deflate"),
        MEDIA,
    ),
]
HEADERS = [
    header("no key", (400, "missing_key"), key=None),
    header("two keys", MALFORMED, "Idempotency-Key: a", key="b"),
    header("empty key", MALFORMED, key=""),
    header("key of quotes", MALFORMED, key='""'),
    header("key of 65 characters", MALFORMED, key="k" * 65),
    header("key with a space", MALFORMED, key="a b"),
    header("key that no URL can name", MALFORMED, key=".."),
    header("key that is no ASCII", MALFORMED, key="\u00e9"),
    header("text", MEDIA, "Content-Type: text/plain"),
    header("form with files", MEDIA, "Content-Type: multipart/form-data; boundary=x"),
    header("XML", MEDIA, "Content-Type: application/xml"),
    header("unknown compression", MEDIA, "Content-Encoding: br"),
    header("page of another origin", (403, "other_origin"), "Origin: http://evil.example"),
    header("page of a broken origin", (403, "other_origin"), "Origin: http://["),
    header("page without an origin", (403, "other_origin"), "Origin: null"),
    header("unknown expectation", (417, "unknown_expectation"), "Expect: the-unexpected"),
    header("header of 9,000 bytes", MALFORMED, "X-Long: " + "x" * 9_000),
    header("300 headers", MALFORMED, *(f"X-{number}: x" for number in range(300))),
    header("header without a name", MALFORMED, ": x"),
    header("header without a colon", MALFORMED, "X-Broken"),
    header("space before the colon", MALFORMED, "X-Broken : x"),
    header("folded header", MALFORMED, "X-Folded: a\r\n b"),
    header("NUL in a header", MALFORMED, "X-Nul: a\0b"),
    header("lone carriage return in a header", MALFORMED, "X-Return: a\rb"),
    header("second host", MALFORMED, "Host: elsewhere"),
]
LENGTHS = [
    header("two lengths", MALFORMED, "Content-Length: 1"),
    header("length and chunks", MALFORMED, "Transfer-Encoding: chunked"),
    header("unknown transfer", MALFORMED, "Transfer-Encoding: xchunked"),
    Row(
        "request smuggled behind chunks",
        lambda i: chunked(b"0\r\n\r\n" + sized(good(i)), "Content-Length: 5"),
        MALFORMED,
    ),
    Row("chunked twice", lambda i: chunked(b"0\r\n\r\n", "Transfer-Encoding: chunked"), MALFORMED),
    Row("chunk without a size", lambda i: chunked(b"zz\r\n{}\r\n0\r\n\r\n"), MALFORMED),
    Row("chunk of a negative size", lambda i: chunked(b"-2\r\n{}\r\n0\r\n\r\n"), MALFORMED),
    Row("chunk of an enormous size", lambda i: chunked(b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n"), MALFORMED),
    Row("chunk that is longer than it says", lambda i: chunked(b"1\r\n{}\r\n0\r\n\r\n"), MALFORMED),
    Row("second chunk broken", lambda i: chunked(b"2\r\n{ \r\nzz\r\n"), MALFORMED),
    Row("negative length", lambda i: head("POST", "/api/v1/orders", "Content-Length: -1") + b"\r\n{}", MALFORMED),
    Row("signed length", lambda i: head("POST", "/api/v1/orders", "Content-Length: +2") + b"\r\n{}", MALFORMED),
    Row(
        "length beyond any", lambda i: head("POST", "/api/v1/orders", f"Content-Length: {10**30}") + b"\r\n", MALFORMED
    ),
]
PATHS = [
    get("unknown path", NOT_FOUND, "/api/v1/nothing"),
    get("unknown version", NOT_FOUND, "/api/v2/orders"),
    get("the API itself", NOT_FOUND, "/api"),
    get("double slash", NOT_FOUND, "//healthz"),
    get("dots", NOT_FOUND, "/docs/../healthz"),
    get("dots, encoded", NOT_FOUND, "/docs/%2e%2e/%2e%2e/etc/passwd"),
    get("dots below the page", NOT_FOUND, "/docs/..%2fdocs.html"),
    get("Faust's pages", NOT_FOUND, "/table/"),
    get("id that is none", UNKNOWN, "/api/v1/orders/1"),
    get("id with a NUL", UNKNOWN, "/api/v1/orders/%00"),
    get("id that is no UTF-8", UNKNOWN, "/api/v1/orders/%ff%fe"),
    get("id in another spelling", UNKNOWN, "/api/v1/orders/urn:uuid:00000000-0000-8000-8000-000000000000"),
    get("slash in a key", MALFORMED, "/api/v1/orders/by-client-id/a/{i}/c%2fd"),
    get("9,000 bytes", MALFORMED, "/" + "a" * 9_000),
    get("letters as they are", MALFORMED, "/api/v1/orders/\u00e9"),
    get("space in a path", MALFORMED, "/api/v1/or ders"),
    get("verb that is none", MALFORMED, "/healthz", "BREW"),
    get("verb in small letters", MALFORMED, "/healthz", "get"),
    get("verb that is not for this", (405, "method_not_allowed"), "/api/v1/orders", "PUT"),
    get("TRACE", (405, "method_not_allowed"), "/api/v1/orders", "TRACE"),
    get("OPTIONS", (405, "method_not_allowed"), "/api/v1/orders", "OPTIONS"),
    get("CONNECT", NOT_FOUND, "evil.example:443", "CONNECT"),
]
QUERIES = [
    get("parameter twice", MALFORMED, "/api/v1/orders?limit=1&limit=2"),
    get("unknown parameter", MALFORMED, "/api/v1/orders?where=1"),
    get("limit 0", MALFORMED, "/api/v1/orders?limit=0"),
    get("limit beyond the most", MALFORMED, "/api/v1/orders?limit=1001"),
    get("limit in Arabic digits", MALFORMED, "/api/v1/orders?limit=%D9%A1"),
    get("limit with an exponent", MALFORMED, "/api/v1/trades?limit=1e1"),
    get("page of 5,000 digits", MALFORMED, "/api/v1/orders?page=" + "9" * 5_000),
    get("page that only a cursor reaches", MALFORMED, "/api/v1/orders?page=101&limit=1000"),
    get("cursor that is none", MALFORMED, "/api/v1/orders?cursor=abc"),
    get("cursor with a NUL", MALFORMED, "/api/v1/orders?cursor=%00"),
    get("cursor of 8,000 characters", MALFORMED, "/api/v1/trades?cursor=" + "a" * 8_000),
    get("SQL", MALFORMED, "/api/v1/orders?client_id=%27%20OR%201=1"),
    get("unknown word", INVALID, "/api/v1/orders?status=open"),
    get("more levels than there are", MALFORMED, "/api/v1/orderbook?instrument={i}&levels=1001"),
    get("book of nothing", MALFORMED, "/api/v1/orderbook"),
    get("book of an unlisted instrument", (404, "unknown_instrument"), "/api/v1/orderbook?instrument=NO-SUCH"),
    get("wait for ever", MALFORMED, "/api/v1/orders?wait=forever", "POST"),
    get("mass cancel of everybody", MALFORMED, "/api/v1/orders", "DELETE"),
    get("stream without an upgrade", (426, "upgrade_required"), "/ws/trades"),
    get("subscriptions without an upgrade", (426, "upgrade_required"), "/stream"),
]
UPGRADE = ("Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
CONNECTIONS = [
    broken("bytes that are no HTTP", b"\0\1\2\3\r\n\r\n"),
    broken("TLS", bytes.fromhex("16030100a5010000a10303") + bytes(100)),
    broken("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    broken("HTTP/3", b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n"),
    broken("no host", b"GET /healthz HTTP/1.1\r\n\r\n"),
    broken("lines that end early", b"GET /healthz HTTP/1.1\nHost: localhost\n\n"),
    broken("address with an impossible port", b"GET http://evil:99999/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    Row(
        "upgrade to something unknown",
        lambda i: head("GET", "/ws/trades", "Connection: Upgrade", "Upgrade: gopher", key=None) + b"\r\n",
        (426, "upgrade_required"),
    ),
    Row(
        "WebSocket of an unlisted instrument",
        lambda i: head("GET", "/ws/trades?instrument=NO-SUCH", *UPGRADE, "Upgrade: websocket", key=None) + b"\r\n",
        (404, "unknown_instrument"),
    ),
    Row(
        "WebSocket of another version",
        lambda i: head("GET", "/ws/trades", *UPGRADE[:1], "Upgrade: websocket", "Sec-WebSocket-Version: 99") + b"\r\n",
        (426, "upgrade_required"),
    ),
    Row(
        "body that comes a byte a second",
        lambda i: (head("POST", "/api/v1/orders", "Content-Length: 1000") + b"\r\n", *[b" "] * 20),
        (408, "request_timeout"),
        pause_s=1.0,
    ),
]
ROWS = [*NUMBERS, *FIELDS, *BODIES, *HEADERS, *LENGTHS, *PATHS, *QUERIES, *CONNECTIONS]


@pytest.fixture(scope="module")
async def target(api: Api) -> str:
    """An instrument that nothing but these rows is sent to."""
    return await list_market(api)


async def send(api: Api, made: Sent, pause_s: float = 0.0) -> RawAnswer:
    pieces = made if isinstance(made, tuple) else (made,)
    return await exchange(api.url, *pieces, pause_s=pause_s)


async def test_without_the_mistake_it_would_be_accepted(api: Api, market: str) -> None:
    """Sized, in chunks, and in pieces; a body may also be announced."""
    whole = good(market)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (whole[:20], whole[20:])) + b"0\r\n\r\n"
    announced = sized(whole, "Expect: 100-continue")
    for made in (
        sized(whole),
        chunked(chunks),
        (announced[:70], announced[70:]),
        sized(whole, "Origin: http://localhost:3000"),
    ):
        answer = await send(api, made)
        assert (answer.status, answer.body["status"]) == (201, "pending_new")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.mistake.replace(" ", "-"))
async def test_a_mistake_is_a_problem(api: Api, target: str, row: Row) -> None:
    """Its own status and code, as problem+json, once, without a word about how the server is made."""
    answer = await send(api, row.make(target), row.pause_s)

    assert (answer.status, answer.body["code"]) == row.answer, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.body["status"] == answer.status
    assert b"HTTP/" not in answer.rest
    assert "Traceback" not in answer.body["detail"]


async def test_nothing_of_it_was_accepted(api: Api, target: str) -> None:
    """The next order is the first that the instrument has seen, and the venue is as ready as before."""
    placed = await api.place(instrument=target)
    assert (placed.status, placed.body["seq"]) == (201, 2)
    await until(lambda: api("GET", "/../../readyz"), lambda found: found.body["status"] == "ready")


HASTY = {
    "a body that ends early": head("POST", "/api/v1/orders", "Content-Length: 100") + b"\r\n{",
    "a chunk that ends early": chunked(b"5\r\n{"),
    "a body that was announced": head("POST", "/api/v1/orders", "Content-Length: 9", "Expect: 100-continue") + b"\r\n",
    "a head that ends early": head(),
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(100),
    "a large answer": b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: venue\r\n\r\n" * 20,
}
EACH = 26
"""Of each kind; a half closes, a half resets: what a reset overtakes was never there."""


async def test_clients_that_go_are_counted_and_not_logged(api: Api, venue: Venue) -> None:
    """A byte and a close cost them nothing: neither a traceback of ours nor any other line."""
    host, _, port = urlsplit(api.url).netloc.partition(":")

    async def leave(sent: bytes, is_reset: bool) -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.01)  # else the server sees the end before the beginning
        if is_reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort() if is_reset else writer.close()

    async def counted(why: str) -> float:
        async with api.session.get(f"{api.url}/metrics") as answer:
            found = re.search(rf'^http_client_errors_total{{why="{why}"}} (.+)$', await answer.text(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    log = venue.log("gateway-0")
    said, gone, broken = log.stat().st_size, await counted("gone"), await counted("broken")
    await asyncio.gather(*(leave(sent, bool(n % 2)) for sent in HASTY.values() for n in range(EACH)))
    await until(lambda: counted("gone"), lambda now: now >= gone + 3 * (EACH // 2))
    await until(lambda: counted("broken"), lambda now: now >= broken + EACH // 2)
    await until(lambda: api("GET", "/../../readyz"), lambda found: found.body["status"] == "ready")
    assert log.read_bytes()[said:] == b""
