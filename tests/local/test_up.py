"""`python -m app up`, `down` and `clean` as a user runs them: a venue's whole life in one data folder."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from app.local.ports import FILE, HOST, USUAL, USUAL_OF_ROLE, is_free
from app.local.venue import ROOT
from tests.local.launcher import END_TIMEOUT_S, POLL_S, Up, app, assert_refused, left

USUAL_PORTS = sorted({*USUAL.values(), *USUAL_OF_ROLE.values()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of all tests in this module: each test begins where the one before ended."""
    return tmp_path_factory.mktemp("life") / "data"


@pytest.fixture(scope="module")
def taken() -> Iterator[set[int]]:
    """Listen on all usual ports that are still free."""
    with ExitStack() as listening:
        ports = set(filter(is_free, USUAL_PORTS))
        for port in ports:
            listening.enter_context(socket.create_server((HOST, port)))
        yield ports


@pytest.fixture(scope="module")
def first(folder: Path, taken: set[int]) -> Iterator[Up]:
    """The first start, with two matching workers, while every usual port is taken."""
    # Where a start takes longer than the group waits for a member, two workers would take turns (ARCHITECTURE.md).
    up = Up(folder, "--workers", "matching=2", env={"BROKER_SESSION_TIMEOUT": "30"})
    up.until("curl")
    yield up
    up.process.kill()
    up.end()


@pytest.fixture(scope="module")
def order_id(first: Up) -> str:
    """The order that the printed curl creates."""
    return str(_curl(first.until("curl"))["order_id"])


def test_busy_ports_are_evaded_and_the_addresses_printed(first: Up, taken: set[int]) -> None:
    """A user whose own Postgres has the usual port still gets a venue, and sees its addresses."""
    ports = json.loads((first.folder / FILE).read_text())
    assert not set(ports.values()) & taken
    assert first.shown("BROKER_URL") == f"kafka://{HOST}:{ports['kafka']}"
    assert first.shown("DATABASE_URL") == f"postgresql://postgres@{HOST}:{ports['postgres']}/matchstream"
    assert first.shown("REDIS_URL") == f"redis://{HOST}:{ports['valkey']}/0"
    for worker in ("matching-0", "matching-1", "recording-0", "clearing-0", "analytics-0", "gateway-0"):
        with urllib.request.urlopen(first.shown(worker) + "/readyz", timeout=5) as answer:
            assert answer.status == 200
        assert (first.folder / "logs" / f"{worker}.log").stat().st_size


def test_the_printed_curl_makes_an_order(first: Up, order_id: str) -> None:
    """A newcomer's first step works without changes."""
    order = _until(lambda: _get(f"{first.shown('gateway-0')}/api/v1/orders/{order_id}"), lambda o: o["status"] == "new")
    assert (order["instrument"], order["client_id"]) == ("BTC-USD", "me")


def test_the_printed_command_shows_the_book(first: Up, order_id: str) -> None:
    """Pasted into the same shell, it finds this venue in any folder."""
    line = first.until("MATCHSTREAM_VENUE=")
    shown = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "BTC-USD"), shown.stderr
    assert shown.stderr == f"gateway {first.shown('gateway-0')} (the venue in {first.folder})\n"


def test_a_second_up_and_a_clean_are_refused_while_it_runs(first: Up) -> None:
    """Two launchers in one folder would conflict, and `clean` must not remove data in use."""
    sentence = f"Matchstream already runs in {first.folder}: `python -m app down` stops it."
    assert_refused(app("up", "--data", first.folder), sentence)
    assert_refused(app("clean", "--data", first.folder), sentence)
    assert first.process.poll() is None


@pytest.mark.parametrize("name", ["matching-1", "valkey", "postgres"])
def test_what_is_killed_is_started_again(name: str, first: Up) -> None:
    """For a worker or a server, the launcher prints one line, and a new process listens on the same port."""
    before = first.pid(name)
    os.kill(before, signal.SIGKILL)
    said = first.until(f"{name} ended (signal 9)")
    assert re.fullmatch(rf".* starting it again (now|in [0-9.]+ s): see {first.folder}/logs/{name}\.log", said)
    assert _until(lambda: first.pid(name), lambda pid: pid != before)
    port = json.loads((first.folder / FILE).read_text())[name]
    _until(lambda: socket.create_connection((HOST, port)).close(), lambda closed: True)
    answer = _until(lambda: _post(first.shown("gateway-0"), key=name), lambda order: "order_id" in order)
    assert _until(
        lambda: _get(f"{first.shown('gateway-0')}/api/v1/orders/{answer['order_id']}"),
        lambda order: order["status"] == "new",
    )


def test_down_stops_it_from_elsewhere_and_leaves_no_process(first: Up, order_id: str) -> None:
    """Workers, servers and their children end, and the launcher ends with exit code 0."""
    processes = first.processes()
    assert len(processes) > 10
    done = app("down", "--data", first.folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Stopped.\n", "")
    assert first.end() == 0
    assert first.lines()[-2:] == ["stopping (Ctrl-C again: at once)", "stopped"]
    assert left(processes) == []
    again = app("down", "--data", first.folder)
    assert (again.returncode, again.stdout) == (0, f"Nothing runs in {first.folder}.\n")


@pytest.fixture(scope="module")
def second(folder: Path, first: Up) -> Iterator[Up]:
    """The second start."""
    up = Up(folder)
    up.until("curl")
    yield up
    up.process.kill()
    up.end()


def test_a_second_start_has_the_data_and_the_addresses_of_the_first(second: Up, first: Up, order_id: str) -> None:
    """Users' bookmarks and trades remain valid."""
    for name in ("BROKER_URL", "DATABASE_URL", "REDIS_URL", "gateway-0", "matching-0", "recording-0", "clearing-0"):
        assert second.shown(name) == first.shown(name)
    book = _get(f"{second.shown('gateway-0')}/api/v1/orderbook?instrument=BTC-USD")
    assert sum(level["orders"] for level in book["bids"]) == 4
    assert _get(f"{second.shown('gateway-0')}/api/v1/orders/{order_id}")["status"] == "new"


def test_a_killed_launcher_takes_everything_with_it(second: Up) -> None:
    """SIGKILL gives it no time to stop its processes, so the kernel does."""
    processes = second.processes()
    second.process.kill()
    second.end()
    _until(lambda: left(processes), lambda alive: not alive)


def test_a_start_that_cannot_go_on_stops_what_it_started(folder: Path, second: Up) -> None:
    """After a killed launcher, with a stale lock and state, `up` uses the folder, then finds its topics to differ."""
    refused = app("up", "--data", folder, env=os.environ | {"TOPIC_PARTITIONS": "4"})
    assert refused.returncode == 1
    assert refused.stderr == (
        "the venue was made with 8 partitions, the setting topic_partitions says 4: "
        "set it to 8, which cannot be changed later\n"
    )
    assert app("down", "--data", folder).stdout == f"Nothing runs in {folder}.\n"


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_a_wish_to_stop_during_the_start_is_heard(wish: signal.Signals, folder: Path, second: Up) -> None:
    """Ctrl-C does not wait for servers that are still starting, and none of them keeps running."""
    up = Up(folder, "--no-workers")
    up.until("starting")
    _until(up.processes, lambda found: len(found) > 2)
    processes = up.processes()
    up.process.send_signal(wish)
    assert up.end() == 0
    assert up.lines()[-1] == "stopped"
    assert left(processes) == []


def test_clean_removes_the_data(folder: Path, second: Up) -> None:
    """`clean` says so; run again, it has nothing to do."""
    assert app("clean", "--data", folder).stdout == f"Removed {folder}.\n"
    assert not folder.exists()
    assert app("clean", "--data", folder).stdout == f"{folder} does not exist.\n"


def _curl(line: str) -> Any:
    """Run the printed command in a shell."""
    _, _, url, _, header, _, body = shlex.split(line)
    name, value = header.split(": ")
    request = urllib.request.Request(url, body.encode(), {name: value, "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
        return json.load(answer)


def _post(url: str, key: str) -> Any:
    order = '{"client_id":"me","instrument":"BTC-USD","side":"buy","type":"limit","price":"9","quantity":"1"}'
    return _curl(f"curl -i {url}/api/v1/orders -H 'Idempotency-Key: {key}' -d '{order}'")


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _until(look: Callable[[], Any], is_right: Callable[[Any], bool]) -> Any:
    """Poll until the found value is right; tries again while nothing can be reached."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while True:
        with suppress(OSError):
            if is_right(found := look()):
                return found
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(POLL_S)
