"""`python -m benchmarks.stages`: an order's latency at given rates, and its cost in each process.

We start a venue, and an open loop sends it orders of the reference load at each rate in turn. For each rate we print
the times from POST to 201 and to the trade (from the scheduled time), and each process's CPU time, wake-ups and
requests to Kafka per order. CPU per order is all CPU that a process used during the load, divided by the orders; we
also print what processes use when idle. Prints conditions, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from app.local.venue import ROOT, Venue, running_venue
from benchmarks.processes import Usage, usage_by_name
from load.report import conditions

IDLE_S = 5.0
SETTLE_S = 2.0
REQUESTS = re.compile(r'^kafka_requests_total\{kind="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)
FIRST_SECONDS = 5  # a first load, which does not count, warms up servers and workers


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, nargs="+", default=[500, 1_000, 2_000], help="orders a second")
    parser.add_argument("--seconds", type=int, default=20, help="seconds at each rate")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    found = asyncio.run(measure(options.rates, options.seconds))
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(at["load"]["right"] for at in found["rates"]) else 1


async def measure(rates: list[int], seconds: int) -> dict[str, Any]:
    """Run all rates in one venue, after a short load that does not count."""
    with tempfile.TemporaryDirectory(prefix="matchstream-stages-") as folder:
        async with running_venue(Path(folder) / "data") as venue:
            await asyncio.sleep(SETTLE_S)
            before = usage_by_name(venue)
            await asyncio.sleep(IDLE_S)
            idle = {name: round(used.cpu_s / IDLE_S, 4) for name, used in _spent(venue, before).items()}
            await _at(venue, rates[0], FIRST_SECONDS, Path(folder) / "load.json")
            found = [await _at(venue, rate, seconds, Path(folder) / "load.json") for rate in rates]
    return {"conditions": conditions(), "seconds": seconds, "idle_cores": idle, "rates": found}


async def _at(venue: Venue, rate: int, seconds: int, result: Path) -> dict[str, Any]:
    """Run one rate: the load tool's result, and each process's microseconds of CPU and wake-ups per order."""
    before, asked_before = usage_by_name(venue), await _requests(venue)
    load = await _load(venue, rate, seconds, result)
    spent, orders = _spent(venue, before), load["post_to_201"]["count"]
    asked = await _requests(venue) - asked_before
    return {
        "rate": rate,
        "orders": orders,
        "cpu_us": {name: round(used.cpu_s / orders * 1e6, 1) for name, used in spent.items()},
        "wakeups": {name: round(used.wakeups / orders, 2) for name, used in spent.items()},
        "kafka_requests": {name: round(count / orders, 3) for name, count in asked.items()},
        "load": load,
    }


def _spent(venue: Venue, before: dict[str, Usage]) -> dict[str, Usage]:
    return {name: now.since(before[name]) for name, now in usage_by_name(venue).items()}


async def _requests(venue: Venue) -> Counter[str]:
    """How many requests each worker has sent to Kafka since it began, by worker and kind."""
    found: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for name in venue.processes:
            role, slot = name.rsplit("-", 1)
            async with session.get(f"{venue.web_url(role, int(slot))}/metrics") as response:
                for kind, count in REQUESTS.findall(await response.text()):
                    found[f"{name} {kind}"] = int(float(count))
    return found


async def _load(venue: Venue, rate: int, seconds: int, result: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "load", "--profile", "reference", "--plain", "--seed", str(rate), "--check"]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--json", str(result)]
    command += ["--url", venue.url, "--broker", venue.servers.broker, "--database", venue.servers.database_url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | venue.env, stdout=sys.stderr)
    await process.wait()
    found: dict[str, Any] = json.loads(await asyncio.to_thread(result.read_text))
    return found


def _print(found: dict[str, Any]) -> None:
    where = found["conditions"]
    print(f"\n{where['cpus']} cores, {where['cpu']}, Python {where['python']}; a bare loop of 10 M {where['loop_s']} s")
    print(f"idle cores: {', '.join(f'{name} {cores:.3f}' for name, cores in found['idle_cores'].items())}")
    for at in found["rates"]:
        accepted, traded = at["load"]["post_to_201"], at["load"]["post_to_trade"]
        print(f"\n{at['rate']:,}/s for {found['seconds']} s, {at['orders']:,} orders accepted")
        print(f"  POST to 201   p50 {accepted['p50_ms']:.1f} ms, p99 {accepted['p99_ms']:.1f} ms")
        print(f"  POST to trade p50 {traded['p50_ms']:.1f} ms, p99 {traded['p99_ms']:.1f} ms")
        for name, microseconds in at["cpu_us"].items():
            print(f"  {name:<16} {microseconds:>8.1f} µs CPU an order, {at['wakeups'][name]:.2f} wake-ups")
        print(
            f"  {'all of these':<16} {sum(at['cpu_us'].values()):>8.1f} µs, {sum(at['wakeups'].values()):.2f} wake-ups"
        )
        print(f"  requests to Kafka {', '.join(f'{name} {count}' for name, count in at['kafka_requests'].items())}")
        print(f"  {'load generator':<16} {at['load']['generator_cpu_us_per_request']:>8.1f} µs")


if __name__ == "__main__":
    sys.exit(main())
