"""README.md and docs/API.md do what they say: every curl in them is run, and answers as it is written there."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.until import until
from tests.web.conftest import Api
from tests.web.contract import DOCUMENT

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
API = (ROOT / "docs" / "API.md").read_text()
EXAMPLES = re.findall(r"```sh\n(curl .*?)\n```(?:\n```json\n(.*?)\n```)?", API, re.DOTALL)
"""Each command of docs/API.md with the answer below it."""
IN_README = re.findall(r"`(curl [^`]+)`", README) + re.findall(r"^\$ (curl .*?)\n(?=[\[{$`])", README, re.DOTALL | re.M)
OTHER_THAN_CURL = {"GET /ws/trades", "GET /stream"}

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


async def run(command: str, api: Api) -> tuple[int, str]:
    """Status and body that a command of the documents gets from this gateway."""
    here = command.replace("localhost:8080", urlsplit(api.url).netloc) + r" -w '\n%{http_code}'"
    shell = await asyncio.create_subprocess_exec("sh", "-c", here, stdout=asyncio.subprocess.PIPE)
    body, _, status = (await shell.communicate())[0].decode().rpartition("\n")
    return int(status), body


def shape(answer: Any) -> Any:
    """What stays the same from run to run: names of members, and types of values but that of the last page's cursor."""
    if isinstance(answer, dict):
        return {name: name == "next_cursor" or shape(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [shape(answer[0])] if answer else []
    return type(answer)


async def test_every_call_is_shown(api: Api) -> None:
    """As an example that can be pasted."""
    shown = set()
    for command, _ in EXAMPLES:
        method = re.search(r"-X ([A-Z]+)", command)
        path = re.search(r"localhost:8080(/[^' ?\n]*)", command)
        assert path
        shown.add(f"{method[1] if method else 'POST' if ' -d ' in command else 'GET'} {path[1]}")
    for path, item in DOCUMENT["paths"].items():
        for method in item:
            pattern = f"{method.upper()} {re.sub(r'{[a-z_]+}', '[^/]+', path)}"
            wanted = f"{method.upper()} {path}"
            assert wanted in OTHER_THAN_CURL or any(re.fullmatch(pattern, call) for call in shown), wanted


async def test_the_examples_answer_as_shown(api: Api, market: str) -> None:
    """One after another, as somebody would paste them: status and shape, and what became of an order.

    On a market that nothing else has touched, and with the ids that orders have got here.
    """
    here = {"BTC-USD": market}
    for example in EXAMPLES:
        command, shown = (_replaced(text, here) for text in example)
        answer = json.loads(shown) if shown else None
        is_problem = isinstance(answer, dict) and "detail" in answer

        async def ask(command: str = command) -> tuple[int, Any]:
            status, body = await run(command, api)
            return status, json.loads(body) if body.startswith(("{", "[")) else None

        # What Postgres answers is milliseconds behind, as the document says.
        status, body = await until(ask, lambda got, answer=answer: answer is None or shape(got[1]) == shape(answer))
        assert status == answer["status"] if is_problem else status < 300, (command, status, body)
        here |= {old: new for old, new in zip(_ids(answer), _ids(body), strict=False) if old not in here.values()}
        if isinstance(answer, dict) and "order_id" in answer:
            order_id = here.get(answer["order_id"], answer["order_id"])
            assert (body["order_id"], body["status"]) == (order_id, answer["status"]), command


def _ids(answer: Any) -> list[str]:
    """The order ids in an answer, in their order."""
    return re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", json.dumps(answer))


def _replaced(text: str, others: dict[str, str]) -> str:
    for old, new in others.items():
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("command", IN_README)
async def test_the_readmes_commands_work(api: Api, command: str) -> None:
    """On an order of their own where they name one."""
    placed = await api.place(client_id="reader")
    status, body = await run(command.replace("ORDER_ID", placed.body["order_id"]), api)

    assert status < 300, body


def test_the_readme_has_commands() -> None:
    """Else there would be nothing to run."""
    assert len(IN_README) >= 10
