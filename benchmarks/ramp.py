"""`python -m benchmarks.ramp`: offers more and more orders, far beyond what the venue can take, and checks the result.

We start a venue. Several client processes offer orders of the reference load at each rate in turn, on schedule, whether
earlier ones are answered or not. The number of connections is bounded: an order that finds none free within a second
counts as not sent. The last rate is offered again over FLOOD connections: more orders than a gateway works on at once.
Then everything accepted must be matched and recorded, and `verify` must find nothing wrong. Prints conditions and a
table, writes JSON with `--json` and the load report in README.md with `--write`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from textwrap import fill
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer

from app import app
from app.local.venue import ROOT, Venue, running_venue
from app.postgres import recorded_positions
from app.topics import EXECUTIONS
from app.verification.ledger import Entry
from app.verification.running import Addresses, until_quiet, verify
from app.verification.waiting import NotQuiet
from benchmarks.clients import Clients
from benchmarks.orders_log import ends
from benchmarks.processes import memory_mb, usage_by_name
from load.latency import Latency
from load.offering import MAX_LATE_S
from load.report import conditions

RATES = (12_000, 20_000, 30_000, 40_000)  # the reference's ramp, orders a second
FIRST_RATE, FIRST_SECONDS = 500, 5  # a first load, which does not count, warms up servers and workers
CLIENTS = 2
CONNECTIONS, FLOOD = 512, 6_000
QUIET_TIMEOUT_S = 300.0
MEMORY_EVERY_S = 0.5
LOOK_S = 1.0
WIDTH = 118
PARTITIONS = app.conf.topic_partitions
ACCEPTED, REFUSED, NO_ANSWER = "201", ("429", "503"), "no answer"
README = ROOT / "README.md"
BEGIN, END = "<!-- python -m benchmarks.ramp --write: begin -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ramp", description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES), help="orders a second, one after another")
    parser.add_argument("--seconds", type=int, default=15, help="seconds at each rate")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="processes that offer")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="over all clients")
    parser.add_argument("--flood", type=int, default=FLOOD, help="connections of the last step; 0: leave it out")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--write", action="store_true", help="write the load report in README.md")
    options = parser.parse_args()
    steps = [(rate, options.connections) for rate in options.rates]
    steps += [(options.rates[-1], options.flood)] if options.flood else []
    found = asyncio.run(measure(steps, options.seconds, options.clients))
    print("\n" + report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    if options.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}{report(found)}{END}{rest.partition(END)[2]}")
    return 0 if found["right"] else 1


async def measure(steps: list[tuple[int, int]], seconds: int, clients: int) -> dict[str, Any]:
    """Offer each rate over so many connections in one venue, wait until it is quiet, and verify it."""
    where, others_percent = conditions(), await asyncio.to_thread(psutil.cpu_percent, LOOK_S)
    with tempfile.TemporaryDirectory(prefix="matchstream-ramp-") as folder:
        async with running_venue(Path(folder) / "data") as venue, _memory_peaks(venue) as peaks:
            with Clients(clients) as offering:
                warm = await offering.offer([venue.url], FIRST_RATE, FIRST_SECONDS, CONNECTIONS)
                entries = [entry for one in warm for entry in one.entries]
                became = [await _step(venue, offering, *step, seconds, entries) for step in steps]
            found = await _judged(venue, entries)
    is_right = found["verdict"] == "RIGHT" and not any(step["failed"] for step in became)
    options = {"seconds": seconds, "clients": clients, "others_percent": others_percent}
    return {"conditions": where, **options, "steps": became, **found, "peak_mb": dict(peaks), "right": is_right}


async def _step(
    venue: Venue, clients: Clients, rate: int, connections: int, seconds: int, entries: list[Entry]
) -> dict[str, Any]:
    """Offer one rate, and add to `entries` what was accepted or is unknown."""
    before, reports, recorded = usage_by_name(venue), await _reports(venue), await _recorded(venue)
    shares = await clients.offer([venue.url], rate, seconds, connections)
    statuses, accepted, refused = Counter[str](), Latency(), Latency()
    for share in shares:
        statuses.update(share.statuses)
        accepted.add(share.accepted)
        refused.add(share.refused)
        entries.extend(share.entries)
    sent = sum(share.sent for share in shares)
    spent = {name: now.since(before[name]) for name, now in usage_by_name(venue).items() if name in before}
    step = {
        "rate": rate,
        "connections": connections,
        "due": sum(share.due for share in shares),
        "sent": sent,
        "accepted": statuses[ACCEPTED],
        "refused": {status: statuses[status] for status in REFUSED},
        "failed": {status: n for status, n in statuses.items() if status not in (ACCEPTED, *REFUSED)},
        "reports": await _reports(venue) - reports,
        "recorded": await _recorded(venue) - recorded,
        "accepted_ms": accepted.as_json(),
        "refused_ms": refused.as_json(),
        "client_cpu_us": round(sum(share.cpu_s for share in shares) / max(1, sent) * 1e6, 1),
        "cpu_us": {name: round(u.cpu_s / max(1, statuses[ACCEPTED]) * 1e6, 1) for name, u in spent.items()},
    }
    print(f"{rate:,}/s: {step}", file=sys.stderr)
    return step


async def _judged(venue: Venue, entries: list[Entry]) -> dict[str, Any]:
    where = Addresses(venue.servers.broker, venue.servers.database_url, venue.url)
    try:
        quiet_s = await until_quiet(where, QUIET_TIMEOUT_S)
    except NotQuiet as error:
        return {"quiet_after_s": None, "verdict": str(error)}
    verdict = await verify(where, entries=entries, timeout_s=QUIET_TIMEOUT_S)
    return {"quiet_after_s": round(quiet_s, 2), "verdict": "RIGHT" if verdict.is_right else verdict.as_text()}


async def _reports(venue: Venue) -> int:
    """How many records `executions` has."""
    consumer = AIOKafkaConsumer(bootstrap_servers=venue.servers.broker)
    await consumer.start()
    try:
        return await ends(consumer, EXECUTIONS.name, PARTITIONS)
    finally:
        await consumer.stop()


async def _recorded(venue: Venue) -> int:
    """How many records of `executions` Postgres has."""
    found = await recorded_positions(venue.servers.database_url, EXECUTIONS.name)
    return sum((found or {}).values())


@asynccontextmanager
async def _memory_peaks(venue: Venue) -> AsyncIterator[Mapping[str, float]]:
    """Process -> its largest memory so far in MB."""
    peaks: dict[str, float] = {}

    async def look() -> None:
        while True:
            for name, found in memory_mb(venue).items():
                peaks[name] = max(peaks.get(name, 0.0), round(found))
            await asyncio.sleep(MEMORY_EVERY_S)

    task = asyncio.create_task(look())
    try:
        yield peaks
    finally:
        task.cancel()


def report(found: dict[str, Any]) -> str:
    """The load report as Markdown."""
    return "\n".join([_conditions(found), "", *_table(found), "", *_end(found)]) + "\n"


def _conditions(found: dict[str, Any]) -> str:
    where, others = found["conditions"], f"{found['others_percent']:.0f} %"
    machine = (
        f"{where['cpus']} cores ({where['cpu']}), Python {where['python']}, a bare loop of 10 M in {where['loop_s']} s"
    )
    return fill(
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {machine}; other programs used {others} of it before. Servers "
        f"and clients are on the same machine. {found['clients']} client processes offer each rate for "
        f"{found['seconds']} s. They do not wait for answers and repeat nothing. Milliseconds count from when an order "
        f"was due; an order that finds no free connection within {MAX_LATE_S:g} s is not sent. Orders are per second.",
        WIDTH,
    )


def _table(found: dict[str, Any]) -> Iterator[str]:
    yield "| connections | due | sent | 201 | 429, 503 | other | 201: p50, p99 | 503: p50, p99 | matched | recorded |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for step in found["steps"]:
        per_s = partial(_per_s, found["seconds"])
        cells = [f"{step['connections']:,}", f"{step['rate']:,}", per_s(step["sent"]), per_s(step["accepted"])]
        cells += [", ".join(map(per_s, step["refused"].values())), per_s(sum(step["failed"].values()))]
        cells += [_ms(step["accepted_ms"]), _ms(step["refused_ms"]), per_s(step["reports"]), per_s(step["recorded"])]
        yield f"| {' | '.join(cells)} |"


def _end(found: dict[str, Any]) -> Iterator[str]:
    quiet = found["quiet_after_s"]
    yield "Not all is matched and recorded." if quiet is None else f"All is matched and recorded after {quiet:.1f} s."
    yield f"`verify`, with every accepted order: {found['verdict']}."
    largest = sorted(found["peak_mb"].items(), key=lambda pair: -pair[1])
    yield f"Memory at most: {', '.join(f'{name} {mb:,.0f} MB' for name, mb in islice(largest, 5))}."


def _per_s(seconds: int, count: int) -> str:
    return f"{count / seconds:,.0f}"


def _ms(latency: dict[str, float]) -> str:
    return f"{latency['p50_ms']:,.0f}, {latency['p99_ms']:,.0f} ms" if latency["count"] else "-"


if __name__ == "__main__":
    sys.exit(main())
