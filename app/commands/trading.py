"""`faust -A app book | place | cancel`: trading from the command line, through the gateway like any other client."""

from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import click
import faust.cli.base as cli

from app import app
from app.commands.gateway import api_key, call, change, gateway_at, json_option, key_option, show, url_option


@app.command(
    cli.argument("instrument"),
    cli.option("--levels", type=click.IntRange(1, 1_000), default=10, show_default=True, help="Levels on each side."),
    url_option,
    json_option,
)
async def book(self: Any, instrument: str, levels: int, url: str | None, as_json: bool) -> None:
    """Show the order book of INSTRUMENT."""
    answer = await call(
        "GET", gateway_at(url), "/api/v1/orderbook", params={"instrument": instrument, "levels": str(levels)}
    )
    show(answer, as_json, _ladder)


@app.command(
    cli.argument("instrument"),
    cli.argument("side", type=click.Choice(["buy", "sell"])),
    cli.argument("quantity"),
    cli.argument("price", required=False),
    cli.option("--client-id", help="The order's client. Default: the API key's client; without a key, cli."),
    key_option,
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
    client_id: str | None,
    key: str | None,
    time_in_force: str,
    url: str | None,
    as_json: bool,
) -> None:
    """Place an order: with PRICE a limit order, without it a market order."""
    order = {"instrument": instrument, "side": side, "quantity": quantity}
    if client_id or not api_key():
        order["client_id"] = client_id or "cli"
    order |= {"type": "limit", "price": price, "time_in_force": time_in_force} if price else {"type": "market"}
    key = key or str(uuid4())
    answer = await change(gateway_at(url), "/api/v1/orders", key, json=order)
    show(answer, as_json, lambda order: f"{_became(order)}  key {key}")


@app.command(cli.argument("order_id"), key_option, url_option, json_option)
async def cancel(self: Any, order_id: str, key: str | None, url: str | None, as_json: bool) -> None:
    """Cancel the order ORDER_ID and show its final state."""
    answer = await change(gateway_at(url), f"/api/v1/orders/{quote(order_id, safe='')}/cancel", key)
    show(answer, as_json, lambda order: f"{order['order_id']}  {order.get('status', 'not known yet')}")


def _became(order: dict[str, Any]) -> str:
    """The order's status and fills, as far as the engine has answered."""
    line = f"{order['order_id']}  {order['status']}"
    if order.get("avg_price"):
        line += f"  {order['filled_quantity']} @ {order['avg_price']}"
    return f"{line}  ({order['reason']})" if order.get("reason") else line


def _ladder(book: dict[str, Any]) -> str:
    """The book as traders show it: asks above bids, with the best prices in the middle."""
    lines = [f"{book['instrument']}  seq {book['seq']}", f"{'':4} {'price':>16} {'quantity':>16} {'orders':>7}"]
    lines += [_level("ask", level) for level in reversed(book["asks"])]
    if book["asks"] and book["bids"]:
        spread = Decimal(book["asks"][0]["price"]) - Decimal(book["bids"][0]["price"])
        lines.append(f"{'':4} {'spread ' + str(spread):>16}")
    lines += [_level("bid", level) for level in book["bids"]]
    return "\n".join(lines if book["asks"] or book["bids"] else [lines[0], "(empty)"])


def _level(side: str, level: dict[str, Any]) -> str:
    return f"{side:4} {level['price']:>16} {level['quantity']:>16} {level['orders']:>7}"
