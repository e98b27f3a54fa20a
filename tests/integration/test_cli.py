"""`faust -A app …` against a running venue: what it prints, and each failure one sentence with exit code 1."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from app.addresses import FOLDER, LOCK
from app.local import state
from app.local.ports import Ports
from app.local.venue import ROOT, Venue
from app.streaming.failstop import EXIT_CODE
from load.client import Client
from load.ledger import Ledger
from load.request import Terms
from tests import warm
from tests.integration.conftest import list_market
from tests.until import LONG_PAUSE_S, until

BOOK_TIMEOUT_S = 60.0
FAUST = Path(sys.executable).with_name("faust")
IN_README = re.findall(r"^\$ (\.venv/bin/.*?)(?:\s+#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)
NEEDS_A_STOP = "stop the (matching|analytics) workers first: .*"
"""What `rebuild` says beside a worker; tests/integration/test_verify.py lets it work."""
WHERE = re.compile(r"[^\n]+ \((as given|the venue in [^\n]+)\)\n")
END_TIMEOUT_S = 120.0
PLACED = re.compile(r"([0-9a-f-]{36})  (new|filled  0\.50 @ 100\.50000000)  key (\S+)\n")


class Done(NamedTuple):
    """A command that has ended; `where` is the line on standard error that says where it acted."""

    code: int
    out: str
    err: str
    where: str = ""


async def faust(venue: Venue, *arguments: str, **env: str) -> Done:
    """`faust -A app …` in the environment that the launcher would give it."""
    return await run([warm.faust(), "-A", "app", *arguments], ROOT, venue.env | env)


async def run(command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> Done:
    """A command in a working directory."""
    output = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=os.environ | env, stdout=output, stderr=output
    )
    out, err = (text.decode() for text in await asyncio.wait_for(process.communicate(), END_TIMEOUT_S))
    assert process.returncode is not None
    where, _, rest = err.partition("\n") if WHERE.match(err) else ("", "", err)
    return Done(process.returncode, out, rest, where)


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
    assert canceled == Done(0, f"{sell[1]}  canceled\n", "", f"gateway {venue.url} (as given)")
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
    assert_one_sentence(gone, rf"no answer from the gateway at {nobody}: .*; `make run` starts a venue")


async def test_fausts_own_commands_list_ours(venue: Venue) -> None:
    """As a table, and as JSON for scripts."""
    assert "@agents.matching.match_orders" in (await faust(venue, "agents")).out
    assert [table["name"] for table in json.loads((await faust(venue, "--json", "tables")).out)] == ["books"]


async def test_an_operator_puts_an_engine_version_in_force(venue: Venue) -> None:
    """It is a command in the log; one that this release lacks is not sent."""
    market = await list_market(venue)
    unknown = await faust(venue, "engine-version", market, "9")
    assert_one_sentence(unknown, "unknown engine version 9: this release has 1, 2, 3")
    sent = await faust(venue, "engine-version", market, "1")
    assert (sent.code, sent.err) == (0, "") and re.fullmatch(r"orders\[\d+\]@\d+  command [0-9a-f]{32}\n", sent.out)
    await until(  # the newest snapshot is two seconds behind
        lambda: faust(venue, "table", "books", market),
        lambda shown: "engine_version 1 " in shown.out,
        BOOK_TIMEOUT_S,
        LONG_PAUSE_S,
    )


async def test_a_command_of_no_market_is_refused(venue: Venue) -> None:
    """It said the offset and exit code 0; the name with a space even put a malformed record into the log."""
    refused = await faust(venue, "snapshot", "NO-SUCH")
    assert_one_sentence(refused, "NO-SUCH refuses the command: unknown_instrument")
    assert_one_sentence(await faust(venue, "engine-version", "NO-SUCH", "3"), ".*: unknown_instrument")
    assert_one_sentence(await faust(venue, "snapshot", "NO SUCH"), "invalid INSTRUMENT: expected 1 to 64 .*")


async def test_a_reader_that_has_had_enough_ends_the_command(venue: Venue) -> None:
    """`| head -1`: `ledger` ended with a traceback, and `watch` tried again and again to connect."""
    market = await list_market(venue)
    for command in (f"watch book {market}", f"book {market}"):
        pipe = f"{warm.faust()} -A app {command} | head -c 1"
        done = await run(["bash", "-o", "pipefail", "-c", f"{pipe}; echo $?"], ROOT, venue.env)
        assert re.fullmatch(r".[01]\n", done.out) and done.err == "", done
    full = await run(["bash", "-c", f"{warm.faust()} -A app book {market} > /dev/full"], ROOT, venue.env)
    assert_one_sentence(full, "cannot write the output: No space left on device")


@pytest.mark.parametrize("command", ["list-keys", "snapshot BTC-USD", "table books", "verify", "rebuild"])
async def test_kafka_that_is_away_is_one_sentence(command: str, venue: Venue, tmp_path: Path) -> None:
    """Of the keys it was a traceback, of the others a line of the Kafka client's log and then the sentence."""
    port = Ports(tmp_path, usual=False).get("kafka")
    away = await faust(venue, *command.split(), BROKER_URL=f"kafka://127.0.0.1:{port}", APP_DATADIR=str(tmp_path))
    assert_one_sentence(away, ".*Unable to bootstrap from .*")


async def test_an_operator_lists_a_market_with_any_rule(venue: Venue) -> None:
    """Also those that are whole numbers and never change again; a rule that is given twice is no rule."""
    market = f"Q{uuid4().hex[:8]}-USD"
    rules = {"quote_scale": 2, "max_fills": 50, "max_price": "1000.00", "self_trade_prevention": "none"}
    given = [word for name, value in rules.items() for word in ("--rule", f"{name}={value}")]
    listed = json.loads((await faust(venue, "list-instrument", market, "0.01", "0.01", *given, "--json")).out)
    assert {name: listed[name] for name in rules} == rules
    twice = await faust(venue, "list-instrument", market, "0.01", "0.01", *given, "--rule", "max_fills=60")
    assert_one_sentence(twice, "--rule max_fills was given twice")


async def test_an_operator_sets_fees_and_busts_a_trade(venue: Venue) -> None:
    """Rebates begin with a minus; a trade is busted once."""
    market = await list_market(venue)
    rates = ("--maker", "-0.5", "--taker", "25", "--client", "bob=1/2.25")
    fees = await faust(venue, "set-fees", market, *rates)
    assert (fees.code, fees.err) == (0, "")
    assert fees.out == f"{market}  maker -0.50  taker 25.00  bob 1.00/2.25\n"
    free = ("set-fees", market, "--maker", "0", "--taker")
    assert_one_sentence(await faust(venue, *free, "10001"), ".*from -10000 to 10000 basis points.*")
    twice = await faust(venue, *free, "0", "--client", "bob=1/2", "--client", "bob=0/0")
    assert_one_sentence(twice, "--client bob was given twice")
    assert_one_sentence(await faust(venue, *free, "0", "--client", "bob"), "--client bob: write NAME=MAKER/TAKER.*")
    await faust(venue, "place", market, "sell", "2.00", "100.50")
    await faust(venue, "place", market, "buy", "0.50", "--client-id", "bob")
    busted = await faust(venue, "bust", f"{market}-1", "wrong price")
    assert busted.code == 0 and re.fullmatch(rf"{market}-1  busted \S+Z\n", busted.out)
    assert_one_sentence(await faust(venue, "bust", f"{market}-1", "wrong price"), ".*busted already.*")


@pytest.fixture
def here(venue: Venue, tmp_path: Path) -> Iterator[Path]:
    """A working directory in which `make run` has started the venue."""
    (tmp_path / FOLDER).symlink_to(venue.folder)
    (venue.folder / LOCK).touch()
    with state.acquire(venue.folder):
        yield tmp_path


async def in_folder(folder: Path, *arguments: str, **env: str) -> Done:
    """`faust -A app …` as it is typed there."""
    return await run([warm.faust(), "-A", "app", *arguments], folder, {"PYTHONPATH": str(ROOT)} | env)


async def load(folder: Path, *arguments: str) -> Done:
    """`python -m load …` as it is typed there."""
    return await run([warm.python(), "-m", "load", *arguments], folder, {"PYTHONPATH": str(ROOT)})


async def test_a_command_finds_the_venue_of_its_folder_and_says_so(venue: Venue, here: Path) -> None:
    """Without a word about addresses; each part is that venue's, and JSON stays pure."""
    market = await list_market(venue)
    placed = await in_folder(here, "place", market, "buy", "1.00", "9.00", "--json")
    assert json.loads(placed.out)["status"] == "new"
    assert (placed.where, placed.err) == (f"gateway {venue.url} (the venue in {venue.folder})", "")
    judged = await in_folder(here, "verify", "--json")
    assert json.loads(judged.out)["right"], judged
    servers = venue.servers
    addresses = f"Kafka kafka://{servers.broker}, Postgres {servers.database_url}"
    assert judged.where == f"{addresses} (the venue in {venue.folder})"


async def test_an_address_of_another_venue_makes_no_mixture(venue: Venue, here: Path) -> None:
    """One variable of a neighbour in the shell: the order goes nowhere, and nothing is judged."""
    for command in (("place", "BTC-USD", "buy", "0.1", "1.00"), ("verify",), ("verify", "--url", "http://127.0.0.1:1")):
        other = {} if "--url" in command else {"BROKER_URL": "kafka://127.0.0.1:1"}
        assert_one_sentence(await in_folder(here, *command, **other), ".* is given and that of .* is not: .*")
    gateway = {"MATCHSTREAM_URL": "http://127.0.0.1:1"}
    assert_one_sentence(await in_folder(here, "list-keys", **gateway), ".* is given and that of Kafka .* is not: .*")
    load = await run(
        [warm.python(), "-m", "load", "check", "--url", "http://127.0.0.1:1"], here, {"PYTHONPATH": str(ROOT)}
    )
    assert_one_sentence(load, ".* is given and that of Kafka .* is not: .*")


async def test_load_finds_the_venue_of_its_folder(venue: Venue, here: Path) -> None:
    """And says where it has been."""
    judged = await load(here, "check")
    assert (judged.code, judged.where.partition(",")[0]) == (0, f"gateway {venue.url}"), judged


async def test_the_table_of_a_running_worker_is_shown(venue: Venue, here: Path) -> None:
    """From its disk, without a word about where that is; another slot's has other books."""
    market = await list_market(venue)
    shown = await until_shown(here, market)
    assert shown.out.startswith(f"instrument {market}")
    assert str(venue.folder / "workers" / "matching-0") in shown.err

    for side in ("sell", "buy"):
        await in_folder(here, "place", market, side, "1.00", "9.50")
    for key in ([market], []):
        of_matching = await in_folder(here, "table", "candles", *key, "--local")
        assert of_matching.code == 1 and "try ROLE=analytics and another SLOT" in of_matching.err
    bars = await until(
        lambda: in_folder(here, "table", "candles", market, "--local", ROLE="analytics"),
        lambda bars: market in bars.out or "another SLOT" not in bars.err,
        BOOK_TIMEOUT_S,
        LONG_PAUSE_S,
    )
    assert bars.out.startswith(f"instrument {market}"), bars
    assert str(venue.folder / "workers" / "analytics-0") in bars.err


async def until_shown(folder: Path, market: str) -> Done:
    """Place an order, and wait until the worker shows a book of this market on its disk."""
    await in_folder(folder, "place", market, "buy", "1.00", "9.00")
    shown = await until(
        lambda: in_folder(folder, "table", "books", market, "--local"),
        lambda shown: market in shown.out or "another SLOT" not in shown.err,  # so it says before it has shown anything
        BOOK_TIMEOUT_S,
        LONG_PAUSE_S,
    )
    assert market in shown.out, shown
    return shown


async def refusal(folder: Path, **env: str) -> str:
    """What a worker says that ends instead of becoming ready, on one line."""
    refused = await run([FAUST, "-A", "app", "worker", "-l", "info"], folder, {"PYTHONPATH": str(ROOT)} | env)
    said = " ".join((refused.out + refused.err).split())
    assert refused.code == EXIT_CODE and "Traceback" not in said, said
    return said


@pytest.mark.parametrize(
    ("role", "how"),
    [("matching", "in the folder"), ("recording", "by its addresses"), ("gateway", "in the folder")],
)
async def test_a_second_worker_of_a_slot_says_so_and_disturbs_nobody(
    venue: Venue, here: Path, role: str, how: str
) -> None:
    """Kafka would give it the place of the first in the group, and end that one."""
    before = venue.process(role).identity
    env = {"ROLE": role} | ({} if how == "in the folder" else venue.env | {"APP_DATADIR": str(here / "other")})
    said = await refusal(here, **env)
    assert re.search(rf"ending the process: the slot {role}-0 is taken: .*; give this process another SLOT", said)
    await venue.wait_all_ready()
    assert venue.process(role).identity == before


async def test_a_worker_by_hand_works_beside_the_others(venue: Venue, here: Path) -> None:
    """With a slot and a web port of its own, as the README says; a port that is taken is one sentence."""
    port = venue.ports.get("gateway-7")
    env = os.environ | {"PYTHONPATH": str(ROOT), "ROLE": "gateway", "SLOT": "7"}
    taken = await in_folder(here, "worker", "-l", "info", ROLE="gateway", SLOT="8", WEB_PORT=venue.url.split(":")[2])
    assert taken.code == EXIT_CODE
    assert re.search(
        "cannot listen on .* give this process another WEB_PORT", " ".join((taken.out + taken.err).split())
    )
    worker = await asyncio.create_subprocess_exec(
        FAUST,
        "-A",
        "app",
        "worker",
        "-l",
        "info",
        cwd=here,
        env=env | {"WEB_PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        market = await list_market(venue)
        await venue.wait_ready("gateway", 7)
        shown = await in_folder(here, "book", market, "--url", f"http://127.0.0.1:{port}")
        assert (shown.code, worker.returncode) == (0, None), shown
        assert (venue.folder / "workers" / "gateway-7").is_dir()
    finally:
        worker.terminate()
        await worker.wait()


async def test_the_readmes_commands_work_as_written(venue: Venue, here: Path) -> None:
    """One after the other, in the folder of `make run`; hours of load are cut to a second, the market is our own."""
    (here / ".venv").mkdir()
    (here / ".venv" / "bin").symlink_to(warm.bin_folder())
    (here / "FILE").write_bytes(b"")
    known = {"BTC-USD": await list_market(venue)}
    async with Client(venue.url, Ledger()) as client:
        for who, side in (("alice", "sell"), ("bob", "buy")):  # trade 1, which commands settle and bust
            answer = await client.place(Terms(who, known["BTC-USD"], side, "limit", "2.00", "100.00"))
            assert answer.status == 201, answer
    await until_shown(here, known["BTC-USD"])
    assert len(IN_README) > 12
    for line in IN_README:
        # tests/load/test_chaos.py; tests/web/test_stream_programs.py; minutes of load on a venue of its own
        if "load chaos" in line or " watch " in line or "benchmarks.ramp" in line:
            continue
        command = re.sub(r"--seconds \d+", "--seconds 1", line)
        for name, value in known.items():
            command = command.replace(name, value)
        done = await run(["sh", "-c", command], here, {"PYTHONPATH": str(ROOT)})
        if " rebuild" in line:
            assert_one_sentence(done, NEEDS_A_STOP)
            continue
        if " retention " in line:
            assert_one_sentence(done, r"cycle \d+ was closed in the last 48 hours: .*")
            continue
        assert done.code == 0 and "Error" not in done.err, (line, done)
        if placed := PLACED.fullmatch(done.out):
            known["ORDER_ID"] = placed[1]
        if created := re.match(r"ms_([0-9a-f]+)_", done.out):
            known["KEY_ID"] = created[1]
        if settled := re.match(r"cycle ([0-9]+)  netted", done.out):
            known["CYCLE"] = settled[1]
    assert set(known) == {"BTC-USD", "ORDER_ID", "KEY_ID", "CYCLE"}
