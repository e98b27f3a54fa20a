"""The command line of `python -m load`: run (the default), check, fixtures, chaos, flow."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from app.addresses import NoAddress, find
from app.configuration import WrongSetting
from app.configuration import load as load_settings
from app.verification.waiting import NotQuiet
from load import chaos, fixtures, flow, ledger
from load.client import NotReady
from load.ledger import Ledger
from load.openloop import CONNECTIONS
from load.own import OwnVenue
from load.profiles import MIXED, PLAIN, PROFILES
from load.run import QUIET_TIMEOUT_S, Plan, Venue, check, run

WRONG = 1


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns 0, or 1 if the venue is wrong or cannot be used."""
    given = sys.argv[1:] if arguments is None else arguments
    commands = {"fixtures": _fixtures, "chaos": _chaos, "check": _check, "flow": flow.main}
    command = commands.get(given[0]) if given else None
    try:
        return command(given[1:]) if command else _run(given)
    except (NoAddress, WrongSetting) as error:
        print(f"Error: {error}", file=sys.stderr)
        return WRONG


def _run(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m load",
        description="Send requests to a venue on a schedule; latencies count from the scheduled times. "
        "Also: `python -m load check`, `fixtures`, `chaos`, `flow`.",
    )
    _stream_options(parser)
    _venue_options(parser)
    parser.add_argument("--rate", type=float, default=1_000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--connections", type=int, default=CONNECTIONS, help="kept alive; each has one request at a time"
    )
    parser.add_argument("--tag", help="idempotency keys begin with it; default: the time, so each run makes new orders")
    parser.add_argument("--check", action="store_true", help="verify topics, Postgres, books and answers afterwards")
    parser.add_argument("--ledger", type=Path, help="write all requests and answers to this file")
    options = parser.parse_args(given)
    plan = Plan(
        options.profile,
        options.rate,
        options.seconds,
        options.seed,
        options.tag or f"t{int(time.time()):x}",
        PLAIN if options.plain else MIXED,
        options.connections,
        options.check,
        options.naive,
    )
    venue = _venue(options, is_judged=options.check)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(run(plan, venue))
    except NotReady as error:
        print(error, file=sys.stderr)
        return WRONG
    if options.ledger:
        report.ledger.write(options.ledger)
    print(report.as_text())
    _write_json(options.json, report.as_json())
    return 0 if report.is_right else WRONG


def _check(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m load check", description="Verify a running venue: topics, Postgres, books, and a ledger."
    )
    _venue_options(parser)
    parser.add_argument("--ledger", type=Path, help="the file that a run wrote with --ledger")
    options = parser.parse_args(given)
    entries = ledger.read(options.ledger) if options.ledger else Ledger()
    try:
        verdict = asyncio.run(check(_venue(options), entries, options.naive, options.timeout))
    except NotQuiet as error:
        print(error, file=sys.stderr)
        return WRONG
    print(verdict.as_text())
    _write_json(options.json, verdict.as_json())
    return 0 if verdict.is_right else WRONG


def _fixtures(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m load fixtures",
        description="Write generated requests to a file, one JSON line per request.",
    )
    _stream_options(parser)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--commands", action="store_true", help="write commands for `python -m app replay` instead")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(given)
    mix = PLAIN if options.plain else MIXED
    lines = fixtures.write(options.file, PROFILES[options.profile], options.seed, options.count, mix, options.commands)
    print(f"{lines:,} lines in {options.file}")
    return 0


def _chaos(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m load chaos", description="Start a venue, cause random faults in it under load, and verify it."
    )
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same faults and requests")
    parser.add_argument("--rate", type=float, default=chaos.RATE, help="requests a second (default: %(default)g)")
    parser.add_argument("--data", type=Path, help="keep the venue's data in this folder; it must be new or empty")
    options = parser.parse_args(given)
    planned, seconds = chaos.schedule(options.seed, options.minutes * 60), options.minutes * 60
    for strike in planned:
        print(f"{strike.at_s:7.1f} s  {strike.kind}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM stops the venue, too
    with tempfile.TemporaryDirectory(prefix="matchstream-chaos-") as scratch:
        venue = OwnVenue((options.data or Path(scratch) / "data").resolve(), chaos.MATCHING_WORKERS)
        seen = asyncio.run(chaos.soak(venue, planned, seconds, options.seed, options.rate))
    print(seen.as_text())
    return 0 if seen.is_right else WRONG


def _stream_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", choices=sorted(PROFILES), default="reference")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same requests")
    parser.add_argument("--plain", action="store_true", help="only new orders: no cancels, repeats, hostile requests")


def _venue_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="a gateway; default: from this folder's venue, the environment or the settings")
    parser.add_argument("--broker", help="Kafka's host:port; give --url and --database of the same venue with it")
    parser.add_argument("--database", help="Postgres")
    parser.add_argument(
        "--naive", "--oracle", action="store_true", help="also replay through the naive engine: slow, but independent"
    )
    parser.add_argument("--timeout", type=float, default=QUIET_TIMEOUT_S, help="seconds for the venue to become quiet")
    parser.add_argument("--json", type=Path, help="also write the result to this file")


def _venue(options: argparse.Namespace, is_judged: bool = True) -> Venue:
    """Find the venue and print its addresses to standard error; raises NoAddress.

    Options count as if they were environment variables.
    """
    given = {
        "MATCHSTREAM_URL": options.url,
        "BROKER_URL": options.broker and f"kafka://{options.broker.removeprefix('kafka://')}",
        "DATABASE_URL": options.database,
    }
    found = find(*load_settings(), {**os.environ, **{name: address for name, address in given.items() if address}})
    needed = ("MATCHSTREAM_URL", "BROKER_URL", "DATABASE_URL") if is_judged else ("MATCHSTREAM_URL",)
    found.need(*needed)
    print(found.text(*needed), file=sys.stderr)
    return Venue(found.gateway, found.broker if is_judged else "", found.database_url if is_judged else "")


def _write_json(file: Path | None, content: object) -> None:
    if file is not None:
        file.write_text(json.dumps(content, indent=2) + "\n")
