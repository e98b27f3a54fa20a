"""The soak (T3): starts a venue, sends it orders, settles it every minute, causes random faults, verifies everything.

At the end it also compares bars, tickers and average prices with plain SQL over all trades (figures.py). The seed
decides which fault strikes when. A freeze-frame (O9), sometimes and at the end, kills everything at once and verifies
the logs before any worker runs again.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from app.postgres import AWAY
from app.verification.findings import Verdict
from app.verification.waiting import NotQuiet
from load import strikes
from load.client import Client
from load.figures import Compared, compare_figures
from load.generator import requests
from load.ledger import Ledger
from load.openloop import OpenLoop
from load.own import OwnVenue
from load.profiles import MIXED, PROFILES, TEN_INSTRUMENTS
from load.request import Terms
from load.run import check
from load.settler import Settler
from load.target import Target

RATE = 50.0  # requests a second: the naive engine must replay all of them, and the books stay small
CONNECTIONS = 16
TIMEOUT_S = 5.0
MATCHING_WORKERS = 2
FIRST_AFTER_S = 5.0
SHORTEST_GAP_S, LONGEST_GAP_S = 1.0, 12.0
LAG_TIMEOUT_S = 60.0  # O10: within this time after the last fault, everything must be matched and recorded
MATCHED_TIMEOUT_S = 60.0
# Errors of a strike whose target is down already.
MISSES = (OSError, TimeoutError, KafkaError, RedisError, *AWAY)

Strike = Callable[["Soak", Random], Awaitable[None]]


class Planned(NamedTuple):
    """A fault, its earliest start, and the seed for its random choices."""

    at_s: float
    kind: str
    seed: int


@dataclass
class Soak:
    """A running soak and its results so far."""

    venue: OwnVenue
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    violations: list[str] = field(default_factory=list)
    orders: int = 0
    cycles: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    verdict: Verdict | None = None
    figures: Compared | None = None

    @property
    def is_right(self) -> bool:
        return not self.violations and self.verdict is not None and self.verdict.is_right

    def as_text(self) -> str:
        """A table of faults by kind, the outcomes of the requests, and the verdict."""
        lines = [f"{'fault':<40}{'times':>7}{'missed':>8}"]
        lines += [f"{kind:<40}{times:>7}{self.missed[kind]:>8}" for kind, times in sorted(self.struck.items())]
        lines += [f"{'all':<40}{self.struck.total():>7}{self.missed.total():>8}", ""]
        lines += [
            f"{self.orders:,} requests: {self.outcomes}; {self.cycles} cycles settled; {self.frames} freeze-frames"
        ]
        lines += [self.verdict.as_text() if self.verdict else "never judged"]
        lines += [self.figures.as_text() if self.figures else "bars and average prices were not compared with SQL"]
        lines += self.violations[:20]
        wrong = sum(f.differences for f in self.verdict.findings) if self.verdict else 0
        return "\n".join([*lines, f"{len(self.violations) + wrong} violations"])


def schedule(seed: int, seconds: float) -> list[Planned]:
    """The faults of a soak in order of time."""
    random, planned, at_s = Random(seed), list[Planned](), FIRST_AFTER_S
    while at_s < seconds:
        kind = random.choices([*KINDS], [weight for weight, _ in KINDS.values()])[0]
        planned.append(Planned(round(at_s, 1), kind, random.getrandbits(32)))
        at_s += random.uniform(SHORTEST_GAP_S, LONGEST_GAP_S)
    return planned


async def soak(venue: OwnVenue, planned: list[Planned], seconds: float, seed: int, rate: float = RATE) -> Soak:
    """Start the venue, strike it as planned under load, and verify it; always stops it at the end."""
    seen = Soak(venue)
    try:
        await venue.start()
        await _strike_under_load(seen, planned, seconds, seed, rate)
        await _freeze(seen)
    except (NotQuiet, TimeoutError) as error:
        seen.violations.append(f"{type(error).__name__}: {error}")
    finally:
        await venue.stop()
    return seen


async def _strike_under_load(seen: Soak, planned: list[Planned], seconds: float, seed: int, rate: float) -> None:
    url = seen.venue.venue.url
    loop = OpenLoop(
        url, requests(PROFILES["crossing"], seed, MIXED, tag=f"chaos{seed}"), rate, seconds, CONNECTIONS, TIMEOUT_S
    )
    async with Client(url) as client:
        settler = Settler(client, seed)
        settling = asyncio.create_task(settler.run())
        running, began = asyncio.create_task(loop.run()), time.monotonic()
        try:
            for strike in planned:
                await asyncio.sleep(began + strike.at_s - time.monotonic())
                if running.done():
                    break
                await _strike(seen, strike, began)
            await running
        finally:
            for task in (running, settling):
                task.cancel()
            await asyncio.gather(running, settling, return_exceptions=True)
        if settling.done() and not settling.cancelled() and (error := settling.exception()) is not None:
            raise error
        ledger = loop.ledger
        await _everything_moves(seen, ledger)
        seen.violations += await settler.end(LAG_TIMEOUT_S)
        seen.cycles = settler.asked + 1
    seen.orders, seen.outcomes = len(ledger), ledger.outcomes()
    verdict = seen.verdict = await check(seen.venue.venue, ledger, naive=True, timeout_s=LAG_TIMEOUT_S)
    seen.violations += verdict.in_flight  # all workers run and no requests come, so nothing may be in flight
    figures = seen.figures = await compare_figures(seen.venue.venue, LAG_TIMEOUT_S, seed)
    seen.violations += figures.differing


async def _strike(seen: Soak, strike: Planned, began: float) -> None:
    print(f"{time.monotonic() - began:7.1f} s  {strike.kind}", file=sys.stderr, flush=True)
    seen.struck[strike.kind] += 1
    try:
        await KINDS[strike.kind][1](seen, Random(strike.seed))
    except MISSES as error:
        print(f"{'':11}missed: {type(error).__name__} {error}"[:120], file=sys.stderr, flush=True)
        seen.missed[strike.kind] += 1


async def _everything_moves(seen: Soak, ledger: Ledger) -> None:
    """Place an order in each market and wait until it is matched; raises NotMatched."""
    async with Client(seen.venue.venue.url, ledger) as client:
        await client.until_ready(MATCHED_TIMEOUT_S)
        for instrument in TEN_INSTRUMENTS:
            answer = await client.place(Terms("watcher", instrument, "buy", "limit", "0.01", "1.00"))
            await client.matched(answer.json()["order_id"], MATCHED_TIMEOUT_S)


async def _freeze(seen: Soak) -> None:
    """Kill everything, and verify the logs while no worker runs."""
    await seen.venue.kill()
    await seen.venue.start(workers=False)
    seen.frames += 1
    found = await seen.venue.verified()
    if not found["right"]:
        seen.violations.append(f"freeze-frame {seen.frames}: {found['first']}")
    await seen.venue.stop()


async def _freeze_and_go_on(seen: Soak, random: Random) -> None:
    await _freeze(seen)
    await seen.venue.start()


def _one(of: str) -> Strike:
    """Send SIGKILL to one process of a role, or to a server."""

    async def strike(seen: Soak, random: Random) -> None:
        await strikes.kill(seen.venue, random.choice(seen.venue.names(of)))

    return strike


def _paused(of: str, shortest_s: float, longest_s: float) -> Strike:
    async def strike(seen: Soak, random: Random) -> None:
        name = random.choice(seen.venue.names(of))
        await strikes.pause(seen.venue, random.uniform(shortest_s, longest_s), name)

    return strike


async def _pair(seen: Soak, random: Random) -> None:
    await strikes.kill(seen.venue, *random.sample(seen.venue.names(), 2))


async def _all_workers(seen: Soak, random: Random) -> None:
    await strikes.kill(seen.venue, *(name for name in seen.venue.names() if "-" in name))


async def _everything(seen: Soak, random: Random) -> None:
    await strikes.kill(seen.venue, *seen.venue.names())


async def _loop(seen: Soak, random: Random) -> None:
    name = random.choice([name for name in seen.venue.names() if "-" in name])
    await strikes.kill_in_a_loop(seen.venue, name, random.randint(2, 5), random.uniform(0.5, 3.0))


def _on_matching(strike: Callable[[Target, str], Awaitable[None]]) -> Strike:
    async def struck(seen: Soak, random: Random) -> None:
        await strike(seen.venue, random.choice(seen.venue.names("matching")))

    return struck


async def _corrupt(seen: Soak, random: Random) -> None:
    await strikes.corrupt_tables(seen.venue, random.choice(seen.venue.names("matching")), random)


PAST_SESSION_S = strikes.SESSION_TIMEOUT_S + 4.0
# Kind of fault -> its weight in the random choice, and the strike.
KINDS: dict[str, tuple[int, Strike]] = {
    "kill -9 matching": (6, _one("matching")),
    "kill -9 recording": (3, _one("recording")),
    "kill -9 clearing": (3, _one("clearing")),
    "kill -9 analytics": (3, _one("analytics")),
    "kill -9 gateway": (3, _one("gateway")),
    "kill -9 Kafka": (2, _one("kafka")),
    "kill -9 Postgres": (2, _one("postgres")),
    "kill -9 Valkey": (2, _one("valkey")),
    "kill -9 two": (4, _pair),
    "kill -9 all workers": (2, _all_workers),
    "kill -9 everything, one by one": (1, _everything),
    "kill -9 in a loop": (3, _loop),
    "matching paused": (4, _paused("matching", 0.5, PAST_SESSION_S)),
    "matching paused past its session": (2, _paused("matching", PAST_SESSION_S, PAST_SESSION_S + 3.0)),
    "recording paused": (2, _paused("recording", 0.5, PAST_SESSION_S)),
    "clearing paused": (2, _paused("clearing", 0.5, PAST_SESSION_S)),
    "analytics paused": (2, _paused("analytics", 0.5, PAST_SESSION_S)),
    "gateway paused": (2, _paused("gateway", 0.5, 5.0)),
    "Kafka paused": (1, _paused("kafka", 0.5, 6.0)),
    "Postgres' tables locked": (2, lambda seen, random: strikes.lock_tables(seen.venue, random.uniform(1.0, 10.0))),
    "Valkey flushed": (1, lambda seen, random: strikes.flush_keys(seen.venue)),
    "a matching worker's folder deleted": (2, _on_matching(strikes.delete_tables)),
    "a matching worker's RocksDB corrupted": (2, _corrupt),
    "consumer group deleted": (1, lambda seen, random: strikes.delete_group(seen.venue, *seen.venue.names("matching"))),
    "poison straight to the topic": (2, lambda seen, random: strikes.poison(seen.venue)),
    "transactions straight to the topic": (2, lambda seen, random: strikes.use_transactions(seen.venue)),
    "everything at once, freeze-frame": (1, _freeze_and_go_on),
}
