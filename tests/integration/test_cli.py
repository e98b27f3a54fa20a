"""`faust -A app …` against a running venue: what it prints, and each failure one sentence with exit code 1."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from app.local.ports import Ports
from app.local.venue import ROOT, Venue
from tests.integration.conftest import list_market

BOOK_TIMEOUT_S = 60.0
FAUST = Path(sys.executable).with_name("faust")
PLACED = re.compile(r"([0-9a-f-]{36})  (new|filled  0\.50 @ 100\.50000000)  key (\S+)\n")


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


async def faust(venue: Venue, *arguments: str, **env: str) -> Done:
    """`faust -A app …` in the environment that the launcher would give it."""
    process = await asyncio.create_subprocess_exec(
        FAUST,
        "-A",
        "app",
        *arguments,
        cwd=ROOT,
        env=os.environ | venue.env | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


def assert_one_sentence(done: Done, sentence: str) -> None:
    """Exit code 1 and this sentence, no more: no traceback, no log lines."""
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(rf"Error: {sentence}\n", done.err), done.err


async def test_orders_are_placed_shown_and_canceled(venue: Venue) -> None:
    """An order rests, another takes a part of it, the book shows the rest, a cancel takes it out."""
    market = await list_market(venue)
    sell = PLACED.fullmatch((await faust(venue, "place", market, "sell", "2.00", "100.50")).out)
    assert sell
    buy = await faust(venue, "place", market, "buy", "0.50", "--client-id", "bob")  # nobody trades with himself
    assert (buy.code, buy.err) == (0, "") and PLACED.fullmatch(buy.out) and "filled" in buy.out
    own = await faust(venue, "place", market, "buy", "0.50", "100.50")
    assert own.out.split()[1:3] == ["canceled", "(self_trade_prevented)"]
    book = await faust(venue, "book", market)
    title, _, ask = book.out.splitlines()
    assert re.fullmatch(rf"{market}  seq \d+", title) and ask.split() == ["ask", "100.50", "1.50", "1"]
    canceled = await faust(venue, "cancel", sell[1])
    assert canceled == Done(0, f"{sell[1]}  canceled\n", "")
    assert_one_sentence(await faust(venue, "cancel", sell[1]), ".*finished.*|.*too late.*")


async def test_the_same_key_is_the_same_order(venue: Venue) -> None:
    """The key is shown so that a command whose answer was lost can be typed again."""
    market, key = await list_market(venue), str(uuid4())
    first, second = [await faust(venue, "place", market, "buy", "1.00", "9.00", "--key", key) for _ in range(2)]
    assert first == second and PLACED.fullmatch(first.out)
    book = json.loads((await faust(venue, "book", market, "--json", "--levels", "1")).out)
    assert (book["instrument"], book["asks"]) == (market, [])
    assert [(level["price"], level["quantity"], level["orders"]) for level in book["bids"]] == [("9.00", "1.00", 1)]


async def test_a_repeat_under_the_same_key_gets_the_first_answer(venue: Venue) -> None:
    """Done, refused, and done before something else was."""
    market = await list_market(venue)
    order_id = (await faust(venue, "place", market, "buy", "1.00", "9.00")).out.split()[0]
    commands = {
        ("halt", market): 0,
        ("cancel", order_id): 0,
        ("list-instrument", market, "0.05", "0.01"): 1,
    }
    first = {said: await faust(venue, *said, "--key", f"key-{said[0]}", "--json") for said in commands}
    await faust(venue, "resume", market)
    for said, code in commands.items():
        again = await faust(venue, *said, "--key", f"key-{said[0]}", "--json")
        assert (again, again.code) == (first[said], code)


async def test_json_is_the_answer_as_it_came(venue: Venue) -> None:
    """For scripts: also of a problem, with exit code 1."""
    market = await list_market(venue)
    placed = await faust(venue, "place", market, "buy", "1.00", "9.00", "--json")
    order_id = json.loads(placed.out)["order_id"]
    canceled = await faust(venue, "cancel", order_id, "--json")
    assert json.loads(canceled.out)["status"] == "canceled"
    again = await faust(venue, "cancel", order_id, "--json")
    assert (again.code, json.loads(again.out)["status"], again.err) == (1, 409, "")


async def test_what_cannot_be_done_is_one_sentence(venue: Venue, tmp_path: Path) -> None:
    """A market that is not there, a number that is none, a gateway that is not there."""
    assert_one_sentence(await faust(venue, "book", "NO-SUCH"), ".*NO-SUCH.*")
    assert_one_sentence(await faust(venue, "place", "BTC-USD", "buy", "much", "1.00"), ".*quantity.*")
    assert_one_sentence(await faust(venue, "cancel", str(uuid4())), ".*order.*")
    nobody = f"http://127.0.0.1:{Ports(tmp_path, usual=False).get('gateway-0')}"
    gone = await faust(venue, "book", "BTC-USD", "--url", nobody)
    assert_one_sentence(gone, rf"no answer from the gateway at {nobody}: .*\. Is `make run` up\?")


async def test_fausts_own_commands_list_ours(venue: Venue) -> None:
    """As a table, and as JSON for scripts."""
    assert "@agents.matching.match_orders" in (await faust(venue, "agents")).out
    assert [table["name"] for table in json.loads((await faust(venue, "--json", "tables")).out)] == ["books"]


async def test_an_operator_puts_an_engine_version_in_force(venue: Venue) -> None:
    """It is a command in the log; one that this release lacks is not sent."""
    market = await list_market(venue)
    unknown = await faust(venue, "engine-version", market, "9")
    assert_one_sentence(unknown, "this release has the engine versions 1, 2, not 9")
    sent = await faust(venue, "engine-version", market, "1")
    assert (sent.code, sent.err) == (0, "") and re.fullmatch(r"orders\[\d+\]@\d+  command [0-9a-f]{32}\n", sent.out)
    async with asyncio.timeout(BOOK_TIMEOUT_S):  # the newest snapshot is two seconds behind
        while "engine_version 1 " not in (shown := await faust(venue, "table", "books", market)).out:
            assert shown.code in (0, 1)
