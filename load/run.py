"""Runs one load test: sends requests on schedule, listens to trades, prints a status line a second, verifies."""

import asyncio
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

from app.verification.findings import Verdict
from app.verification.running import Addresses, until_quiet, verify
from app.verification.waiting import NotQuiet
from load.client import Client
from load.generator import requests
from load.ledger import Ledger
from load.listener import TradeListener
from load.openloop import CONNECTIONS, DRAIN_S, OpenLoop
from load.profiles import MIXED, PROFILES, Mix
from load.report import Report, cpu_s

READY_TIMEOUT_S = 10.0
LINE_EVERY_S = 1.0
LISTEN_TIMEOUT_S = 5.0
LAST_TRADES_S = 1.0
QUIET_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Plan:
    """The parameters of a run. `check` verifies topics and Postgres afterwards; otherwise we judge only the answers."""

    profile: str = "reference"
    rate: float = 1_000.0
    seconds: float = 60.0
    seed: int = 1
    tag: str = ""
    mix: Mix = MIXED
    connections: int = CONNECTIONS
    drain_s: float = DRAIN_S
    check: bool = False
    naive: bool = False


@dataclass(frozen=True)
class Venue:
    """The addresses of a venue: a gateway's base URL, Kafka's host:port, Postgres' URL."""

    url: str
    broker: str
    database_url: str


async def run(plan: Plan, venue: Venue, live: bool = True) -> Report:
    """Send the load, wait for outstanding answers, and verify if `plan.check`; raises NotReady without a gateway."""
    async with Client(venue.url) as client:
        await client.until_ready(READY_TIMEOUT_S)
    stream = requests(PROFILES[plan.profile], plan.seed, plan.mix, plan.tag)
    loop = OpenLoop(venue.url, stream, plan.rate, plan.seconds, plan.connections, drain_s=plan.drain_s, seed=plan.seed)
    listener = TradeListener(venue.url)
    tasks = [asyncio.create_task(listener.run())]
    with suppress(TimeoutError):
        await asyncio.wait_for(listener.listening.wait(), LISTEN_TIMEOUT_S)
    if live:
        tasks.append(asyncio.create_task(_live(loop, listener)))
    cpu, started = cpu_s(), time.monotonic()
    try:
        await loop.run()
        took, cpu = time.monotonic() - started, cpu_s() - cpu
        await asyncio.sleep(LAST_TRADES_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    report = _report(plan, loop, listener, took, cpu)
    if plan.check:
        await _judge(report, venue, plan.naive)
    return report


async def check(venue: Venue, ledger: Ledger, naive: bool = False, timeout_s: float = QUIET_TIMEOUT_S) -> Verdict:
    """Wait until the venue has finished its work, then verify all of it; raises NotQuiet."""
    where = Addresses(venue.broker, venue.database_url, venue.url)
    return await verify(where, entries=ledger.entries, naive=naive, timeout_s=timeout_s)


async def _judge(report: Report, venue: Venue, naive: bool) -> None:
    try:
        report.quiet_s = await until_quiet(Addresses(venue.broker, venue.database_url), QUIET_TIMEOUT_S)
        report.verdict = await check(venue, report.ledger, naive)
    except NotQuiet as error:
        report.problem = str(error)


async def _live(loop: OpenLoop, listener: TradeListener) -> None:
    """Print a status line a second to standard error; on a terminal it overwrites the previous one."""
    end, last, busy = "\r" if sys.stderr.isatty() else "\n", 0, psutil.cpu_percent()
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        sent, busy = loop.sent, psutil.cpu_percent()
        outcomes = " ".join(f"{outcome} {count:,}" for outcome, count in loop.ledger.outcomes().items())
        waits = f"p50 {loop.accepted.percentile_ms(50):.1f} p99 {loop.accepted.percentile_ms(99):.1f} ms"
        line = f"sent {sent:,} ({sent - last:,}/s) open {loop.open:,} {outcomes} | {waits}"
        print(f"{line} | trades {listener.trades:,} | CPU {busy:.0f} %  ", end=end, file=sys.stderr, flush=True)
        last = sent


def _report(plan: Plan, loop: OpenLoop, listener: TradeListener, took_s: float, cpu_s: float) -> Report:
    stream = {
        "trades": listener.trades,
        "connects": listener.connects,
        "failures": listener.failures,
        "gaps": listener.gaps,
        "repeats": listener.repeats,
    }
    return Report(
        plan.profile,
        plan.seed,
        plan.tag or f"s{plan.seed}",
        plan.rate,
        plan.seconds,
        plan.connections,
        loop.sent,
        loop.repeats,
        took_s,
        cpu_s,
        loop.ledger,
        dict(loop.statuses),
        loop.accepted.as_json(),
        listener.latency(loop.due, loop.ids).as_json(),
        stream,
    )
