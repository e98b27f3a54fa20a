"""`python -m benchmarks.stages`: the CPU time that each process spends on an order, in a venue of its own under load.

Prints conditions and a table, writes JSON with `--json`. CPU time is user and system time of the process, all threads,
from before the first request until the venue is quiet again, so background work counts too; an idle run of the same
length is measured first and subtracted.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from app.local.venue import ROOT, Venue, running_venue
from load.report import conditions


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=1_000, help="orders a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    options = parser.parse_args()
    found = asyncio.run(measure(options.rate, options.seconds))
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["load"]["right"] else 1


async def measure(rate: int, seconds: int) -> dict[str, Any]:
    """Run the reference's load pattern at this rate and divide."""
    with tempfile.TemporaryDirectory(prefix="matchstream-stages-") as folder:
        async with running_venue(Path(folder) / "data") as venue:
            await asyncio.sleep(2)
            idle_s = min(10.0, float(seconds))
            before = _cpu_s(venue)
            await asyncio.sleep(idle_s)
            idle = {name: (now - before[name]) / idle_s for name, now in _cpu_s(venue).items()}
            before, began = _cpu_s(venue), time.monotonic()
            load = await _load(venue, rate, seconds, Path(folder) / "load.json")
            took_s = time.monotonic() - began
            spent = {name: now - before[name] - idle[name] * took_s for name, now in _cpu_s(venue).items()}
    orders = load["post_to_201"]["count"]
    stages = {name: round(seconds_spent / orders * 1e6, 1) for name, seconds_spent in spent.items()}
    stages["load generator"] = load["generator_cpu_us_per_request"]
    return {
        "conditions": conditions(),
        "rate": rate,
        "seconds": seconds,
        "orders": orders,
        "cpu_us": stages,
        "load": load,
    }


def _cpu_s(venue: Venue) -> dict[str, float]:
    processes = {**venue.servers.processes, **venue.processes}
    running = {name: process.identity.find() for name, process in processes.items() if process.identity}
    return {name: _tree_cpu_s(process) for name, process in running.items() if process}


def _tree_cpu_s(root: psutil.Process) -> float:
    """A process and its children: Postgres works in one for each connection."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system
    return total


async def _load(venue: Venue, rate: int, seconds: int, result: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "load", "--profile", "reference", "--plain", "--seed", "1", "--check"]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--json", str(result)]
    command += ["--url", venue.url, "--broker", venue.servers.broker, "--database", venue.servers.database_url]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | venue.env, stdout=sys.stderr)
    await process.wait()
    found: dict[str, Any] = json.loads(await asyncio.to_thread(result.read_text))
    return found


def _print(found: dict[str, Any]) -> None:
    where, load = found["conditions"], found["load"]
    print(f"\nreference profile, {found['rate']}/s for {found['seconds']} s, {found['orders']:,} orders accepted")
    print(f"{where['cpus']} cores, {where['cpu']}, Python {where['python']}; everything on this machine")
    print(f"POST to 201 p50 {load['post_to_201']['p50_ms']:.1f} ms, p99 {load['post_to_201']['p99_ms']:.1f} ms\n")
    for name, microseconds in found["cpu_us"].items():
        print(f"  {name:<16} {microseconds:>8.1f} µs CPU an order")
    print(
        f"  {'all but the load':<16} {sum(v for k, v in found['cpu_us'].items() if k != 'load generator'):>8.1f} µs\n"
    )


if __name__ == "__main__":
    sys.exit(main())
