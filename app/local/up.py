"""`python -m app up` runs a venue until Ctrl-C, `down` stops it from another terminal, `clean` removes its data."""

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from app import settings
from app.addresses import FOLDER, FOLDER_VARIABLE
from app.configuration import ROLES
from app.kafka.genesis import WrongTopic
from app.local import state
from app.local.logs import Terminal
from app.local.ports import Ports
from app.local.problems import CannotStart
from app.local.process import forget_other_programs, stop_left
from app.local.venue import ONE_OF_EACH, Venue

NEEDED_BYTES = 2 * 1024**3
NEEDED_FILES = 1_024
"""Open files of one process. Kafka needs the most: 150 at first, and 3 more for each log segment."""
DOWN_TIMEOUT_S = 90.0
MAX_WORKERS = 32
"""Processes of a role: a slip of the finger must not start a thousand, which stop the whole machine."""
WORKERS_HELP = "processes of a role (default: one); repeat for other roles"


class FullDisk(CannotStart):
    """The disk has too little room for the servers' data."""


class TooFewFiles(CannotStart):
    """The system's limit on a process's open files is too low."""


def main(arguments: Sequence[str]) -> int:
    """Run `up` with these arguments; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app up", description="Start a venue on this machine.")
    parser.add_argument("--data", type=Path, default=FOLDER, help="data folder (default: %(default)s)")
    parser.add_argument("--port", type=_port, help="the gateway's port (default: 8080 if free)")
    parser.add_argument("--workers", type=_workers, action="append", default=[], metavar="ROLE=N", help=WORKERS_HELP)
    parser.add_argument("--no-workers", action="store_true", help="only servers, topics, schema and instruments")
    options = parser.parse_args(arguments)
    workers = {} if options.no_workers else {**ONE_OF_EACH, **dict(options.workers)}
    asyncio.run(_up(options.data.resolve(), workers, options.port))
    return 0


def down(arguments: Sequence[str]) -> int:
    """Stop the venue that runs in a data folder; returns the exit code."""
    folder = _folder("down", "Stop the venue that runs in a data folder.", arguments)
    known = state.read(folder)
    if not state.is_up(folder):
        left = stop_left([*known.processes.values()]) if known else 0
        print(f"Stopped {left} processes of a killed venue." if left else f"Nothing runs in {folder}.")
        return 0
    launcher = known.launcher.find() if known else None
    if launcher is None:
        print(f"A venue is starting or stopping in {folder}: try again in a few seconds.", file=sys.stderr)
        return 1
    launcher.send_signal(signal.SIGTERM)
    give_up = time.monotonic() + DOWN_TIMEOUT_S
    while state.is_up(folder):
        if time.monotonic() > give_up:
            print(f"The venue in {folder} (pid {launcher.pid}) has not stopped in time.", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("Stopped.")
    return 0


def clean(arguments: Sequence[str]) -> int:
    """Remove a data folder in which no venue runs; returns the exit code."""
    folder = _folder("clean", "Remove all data of a stopped venue.", arguments)
    if not folder.exists():
        print(f"{folder} does not exist.")
        return 0
    try:
        if not state.is_ours(folder):
            raise state.ForeignFolder(f"{folder} is not a data folder of Matchstream, so it was not removed.")
        with state.acquire(folder):
            if known := state.read(folder):
                stop_left([*known.processes.values()])
            shutil.rmtree(folder)
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"Removed {folder}.")
    return 0


async def _up(folder: Path, workers: dict[str, int], port: int | None) -> NoReturn:
    code = await _exit_code(folder, workers, port)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)  # all processes are stopped; a normal exit would wait for threads that still download


async def _exit_code(folder: Path, workers: dict[str, int], port: int | None) -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it warns, then retries, while new topics get leaders
    forget_other_programs()
    terminal = Terminal()
    stop, at_once = _stop_signals()
    try:
        allow_files()
        with state.acquire(folder):
            check_space(folder)
            _stop_left(folder, terminal)
            ports = Ports(folder)
            ports.get("gateway-0", port)
            venue = Venue(folder, workers, ports=ports, say=terminal.say, lives_long=True)
            return await _run(venue, terminal, stop, at_once)
    except (CannotStart, WrongTopic) as problem:
        print(problem, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The venue in {folder} cannot start: {error}", file=sys.stderr)
        return 1


async def _run(venue: Venue, terminal: Terminal, stop: asyncio.Event, at_once: asyncio.Event) -> int:
    showing = asyncio.create_task(terminal.show())
    try:
        started = asyncio.create_task(_start(venue, terminal))
        if await _first_of(started, stop):
            await stop.wait()
    finally:
        terminal.say("stopping (Ctrl-C again: at once)")
        stopping = asyncio.create_task(venue.stop())
        if not await _first_of(stopping, at_once):
            await venue.kill_all()
        showing.cancel()
    terminal.say("stopped")
    return 0


async def _start(venue: Venue, terminal: Terminal) -> None:
    began = time.monotonic()
    terminal.say(f"starting Kafka, Postgres and Valkey in {venue.folder}")
    await venue.start()
    terminal.say(f"ready after {time.monotonic() - began:.1f} s")
    for line in greeting(venue):
        terminal.say(line)
    for worker in venue.workers:  # only now: the workers' start-up lines would hide the greeting
        terminal.follow(worker.name, venue.log(worker.name))


def greeting(venue: Venue) -> list[str]:
    """Lines with the addresses, and a first order to try."""
    lines = [f"{name:<13} {address}" for name, address in venue.servers.env.items()]
    lines += [f"{worker.name:<13} {venue.web_url(worker.role, worker.slot)}" for worker in venue.workers]
    lines += [f"logs          {venue.folder / 'logs'}"]
    if any(worker.role == "gateway" for worker in venue.workers):
        order = '{"client_id":"me","instrument":"BTC-USD","side":"buy","type":"limit","price":"70000","quantity":"1"}'
        key, known = "", ""
        lines += ["in a browser:", f"{venue.url}/", "a first order:"]
        if settings.auth == "keys":
            lines += [f"KEY=$({command_line(venue.folder)} create-key --client-id me --role trader)"]
            key, known = '-H "Authorization: Bearer $KEY" ', "MATCHSTREAM_API_KEY=$KEY "
        lines += [f"curl -i {venue.url}/api/v1/orders {key}-H 'Idempotency-Key: first' -d '{order}'"]
        lines += ["the book:", f"{known}{command_line(venue.folder)} book BTC-USD"]
    return lines


def command_line(folder: Path) -> str:
    """The beginning of a shell command, in this working directory, that acts on the venue in the folder."""
    faust = Path(sys.executable).with_name("faust")
    faust = faust.relative_to(Path.cwd()) if faust.is_relative_to(Path.cwd()) else faust
    venue = "" if folder == FOLDER.resolve() else f"{FOLDER_VARIABLE}={shlex.quote(str(folder))} "
    return f"{venue}{shlex.quote(str(faust))} -A app"


def check_space(folder: Path, needed_bytes: int = NEEDED_BYTES) -> None:
    """Raise FullDisk unless the folder's disk has this much free space."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise FullDisk(f"{folder} has {free / 1e9:.1f} GB left, {needed_bytes / 1e9:.1f} GB are needed: free some.")


def allow_files(needed: int = NEEDED_FILES) -> None:
    """Let this process and its children open this many files; raises TooFewFiles if the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooFewFiles(f"A process may open {hard} files here, Kafka needs {needed}: try `ulimit -n {needed}`.")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _stop_left(folder: Path, terminal: Terminal) -> None:
    known = state.read(folder)
    if known and (left := stop_left([*known.processes.values()])):
        terminal.say(f"stopped {left} processes that a killed launcher had left behind")


async def _first_of(task: asyncio.Task[None], event: asyncio.Event) -> bool:
    """Whether the task ended before the event; cancels the task if not. Raises the task's own error."""
    came = asyncio.create_task(event.wait())
    await asyncio.wait({task, came}, return_when=asyncio.FIRST_COMPLETED)
    came.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)  # we are stopping, so its errors no longer matter
    return False


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Events that the first and the second stop signal set."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def wished() -> None:
        (at_once if stop.is_set() else stop).set()

    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signal_number, wished)
    return stop, at_once


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _workers(text: str) -> tuple[str, int]:
    role, _, count = text.partition("=")
    if role not in ROLES or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not ROLE=N with a role of {', '.join(ROLES)}")
    if not 1 <= int(count) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r}: one machine runs 1 to {MAX_WORKERS} processes of a role")
    return role, int(count)


def _folder(command: str, description: str, arguments: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(prog=f"python -m app {command}", description=description)
    parser.add_argument("--data", type=Path, default=FOLDER, help="data folder (default: %(default)s)")
    folder: Path = parser.parse_args(arguments).data
    return folder.resolve()
