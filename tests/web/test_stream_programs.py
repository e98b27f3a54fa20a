"""Programs that follow a stream: those of docs/STREAMS.md, and the command line."""

import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import orjson
import pytest

from app.local.venue import Venue
from tests.web.conftest import Api
from tests.web.sockets import trade

STREAMS = Path(__file__).parents[2] / "docs" / "STREAMS.md"
BROWSER = re.findall(r"```js\n(.*?)```", STREAMS.read_text(), re.DOTALL)
NODE = shutil.which("node")
PYTHON = re.findall(r"```python\n(.*?)```", STREAMS.read_text(), re.DOTALL)


async def _lines(process: asyncio.subprocess.Process, until_seq: int) -> list[str]:
    """What a program prints, up to the message with this seq; then it is ended."""
    lines: list[str] = []
    assert process.stdout is not None
    last = re.compile(rf"""["']instrument["']: ?["'][^"']+["'], ?["']seq["']: ?{until_seq}\b""")
    try:
        async with asyncio.timeout(60):
            while not lines or last.search(lines[-1]) is None:
                line = await process.stdout.readline()
                assert line, lines
                lines.append(line.decode())
    finally:
        process.kill()
        await process.wait()
    return lines


async def test_the_documents_python_follows_a_stream(api: Api, market: str) -> None:
    """As it is printed in docs/STREAMS.md."""
    program = f"{PYTHON[0]}\nasyncio.run(follow({api.url!r}, 'trades', {market!r}))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    first = await _lines(process, 1)
    assert "'type': 'snapshot'" in first[-1]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    assert "'aggressor_side': 'buy'" in (await _lines(process, await trade(api, market)))[-1]


@pytest.mark.skipif(NODE is None, reason="there is no node to run a browser's code")
async def test_the_documents_browser_code_follows_a_stream(api: Api, market: str) -> None:
    """As it is printed in docs/STREAMS.md, in Node, whose WebSocket is a browser's."""
    url = api.url.replace("http", "ws", 1)
    program = f"{BROWSER[0]}\nfollow('{url}', {{channel: 'trades', instrument: '{market}'}}, "
    program += "(message) => console.log(JSON.stringify(message)));"
    argv = [str(NODE), "--experimental-websocket", "-e", program]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    assert '"aggressor_side":"buy"' in (await _lines(process, await trade(api, market)))[-1]


async def test_a_stream_on_the_command_line(venue: Venue, api: Api, market: str) -> None:
    """`faust -A app watch`: from a seq on, a message a line, as the socket has it."""
    seqs = [await trade(api, market) for _ in range(3)]
    argv = [sys.executable, "-m", "faust", "-A", "app", "watch", "trades", market, "--from", str(seqs[0])]
    environment = {**os.environ, **venue.env}
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, env=environment, cwd=STREAMS.parents[1])
    messages = [orjson.loads(line) for line in await _lines(process, seqs[-1])]
    assert [message["seq"] for message in messages] == seqs[1:]
    assert messages[0]["prev_seq"] == seqs[0]
