"""`faust -A app watch`: a stream on the terminal, one message a line, resumed when the connection is lost."""

import asyncio
import json
from typing import Any

import aiohttp
import click
import faust.cli.base as cli

from app import app
from app.commands.gateway import api_key, fail, gateway_at, key_hint, url_option

RECONNECT_S = 0.5


@app.command(
    cli.argument("channel", type=click.Choice(["book", "trades", "orders", "status", "candles", "ticker"])),
    cli.argument("instrument"),
    cli.option("--from", "from_seq", type=click.IntRange(0), help="Begin after this seq. Default: with a snapshot."),
    cli.option("--depth", type=int, help="Levels a side of `book`: 10, 20, 50, 100 or 500. Default: all."),
    cli.option("--client-id", help="Whose `orders`. Default: the API key's client."),
    url_option,
)
async def watch(
    self: Any,
    channel: str,
    instrument: str,
    from_seq: int | None,
    depth: int | None,
    client_id: str | None,
    url: str | None,
) -> None:
    """Print the messages of CHANNEL about INSTRUMENT as they come, until Ctrl-C."""
    given = {"channel": channel, "instrument": instrument, "from_seq": from_seq, "depth": depth, "client_id": client_id}
    params = {name: value for name, value in given.items() if value is not None}
    gateway, key = gateway_at(url), api_key()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"} if key else {}) as session:
        while True:
            try:
                async with session.ws_connect(f"{gateway}/stream") as socket:
                    await _print_all(socket, params)
            except aiohttp.WSServerHandshakeError as error:
                fail(f"the gateway refuses the connection: {error.status} {error.message}{key_hint(error.status)}")
            except (aiohttp.ClientError, OSError) as error:
                click.echo(f"no connection to {gateway} ({error}); trying again", err=True)
            await asyncio.sleep(RECONNECT_S)


async def _print_all(socket: aiohttp.ClientWebSocketResponse, params: dict[str, Any]) -> None:
    """Until the connection is lost; `params` then say where to resume."""
    await socket.send_json({"method": "subscribe", "params": params, "req_id": 1})
    async for frame in socket:
        message = json.loads(frame.data)
        if "error" in message:
            fail(f"{message['error']['code']}: {message['error']['message']}")
        if "result" in message:
            params |= {"epoch": message["result"]["epoch"], "from_seq": message["result"]["last_seq"]}
        elif "prev_seq" in message:
            if message["prev_seq"] != params["from_seq"]:
                fail(f"messages are missing between seq {params['from_seq']} and {message['prev_seq']}")
            params["from_seq"] = message["seq"]
            click.echo(frame.data)
