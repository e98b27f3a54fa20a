"""The command line beside Faust's own: `faust -A app book | place | cancel`, through the gateway like any client."""

import json
import os
import sys
from decimal import Decimal
from typing import Any, NoReturn
from uuid import uuid4

import aiohttp
import click
import faust.cli.base as cli

from app import app

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 10.0

url_option = cli.option("--url", envvar="MATCHSTREAM_URL", default=DEFAULT_URL, show_default=True, help="The gateway.")
json_option = cli.option("--json", "as_json", is_flag=True, help="Print the answer as it came.")


@app.command(
    cli.argument("instrument"),
    cli.option("--levels", type=click.IntRange(1, 1_000), default=10, show_default=True, help="Levels a side."),
    url_option,
    json_option,
)
async def book(self: Any, instrument: str, levels: int, url: str, as_json: bool) -> None:
    """Show the order book of INSTRUMENT."""
    answer = await _call("GET", url, "/api/v1/orderbook", params={"instrument": instrument, "levels": str(levels)})
    _show(answer, as_json, _ladder)


@app.command(
    cli.argument("instrument"),
    cli.argument("side", type=click.Choice(["buy", "sell"])),
    cli.argument("quantity"),
    cli.argument("price", required=False),
    cli.option("--client-id", default="cli", show_default=True),
    cli.option("--key", help="The idempotency key; the same key never makes a second order. Default: a new one."),
    cli.option("--time-in-force", type=click.Choice(["GTC", "IOC"]), default="GTC", show_default=True),
    url_option,
    json_option,
)
async def place(
    self: Any,
    instrument: str,
    side: str,
    quantity: str,
    price: str | None,
    client_id: str,
    key: str | None,
    time_in_force: str,
    url: str,
    as_json: bool,
) -> None:
    """Place an order: a limit order with PRICE, a market order without."""
    order = {"client_id": client_id, "instrument": instrument, "side": side, "quantity": quantity}
    order |= {"type": "limit", "price": price, "time_in_force": time_in_force} if price else {"type": "market"}
    key = key or str(uuid4())
    answer = await _call("POST", url, "/api/v1/orders", json=order, headers={"Idempotency-Key": key})
    _show(answer, as_json, lambda order: f"{order['order_id']}  {order.get('status', 'accepted')}  key {key}")


@app.command(cli.argument("order_id"), url_option, json_option)
async def cancel(self: Any, order_id: str, url: str, as_json: bool) -> None:
    """Cancel the order ORDER_ID and show its final state."""
    answer = await _call("POST", url, f"/api/v1/orders/{order_id}/cancel")
    _show(answer, as_json, lambda order: f"{order['order_id']}  {order['status']}")


async def _call(method: str, url: str, path: str, **options: Any) -> tuple[int, Any]:
    """Status and JSON body; a gateway that cannot be reached is a message, not a traceback."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url.rstrip("/") + path, **options) as response,
        ):
            return response.status, json.loads(await response.text())
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        reason = str(error) or type(error).__name__
        fail(f"no answer from the gateway at {url}: {reason}. Is `make run` up?")


def _show(answer: tuple[int, Any], as_json: bool, text: Any) -> None:
    status, body = answer
    if status >= 400 and not as_json:
        fail(f"{body.get('title', status)}: {body.get('detail', '')}".rstrip(": "))
    click.echo(json.dumps(body, indent=2) if as_json else text(body))
    if status >= 400:
        fail("")


def fail(message: str) -> NoReturn:
    """End the command with exit code 1 and one sentence: Faust would log an exception with its traceback, twice."""
    if message:
        click.echo(f"Error: {message}", err=True)
    sys.stdout.flush()
    os._exit(1)


def _ladder(book: dict[str, Any]) -> str:
    """The book as traders draw it: asks above, best prices in the middle."""
    lines = [f"{book['instrument']}  seq {book['seq']}", f"{'':4} {'price':>16} {'quantity':>16} {'orders':>7}"]
    lines += [_level("ask", level) for level in reversed(book["asks"])]
    if book["asks"] and book["bids"]:
        spread = Decimal(book["asks"][0]["price"]) - Decimal(book["bids"][0]["price"])
        lines.append(f"{'':4} {'spread ' + str(spread):>16}")
    lines += [_level("bid", level) for level in book["bids"]]
    return "\n".join(lines if book["asks"] or book["bids"] else [lines[0], "(empty)"])


def _level(side: str, level: dict[str, Any]) -> str:
    return f"{side:4} {level['price']:>16} {level['quantity']:>16} {level['orders']:>7}"
