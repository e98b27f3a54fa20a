"""`python -m benchmarks.scaling`: what an order costs with one and with two matching workers and gateways.

At the same offered rate, each in a new venue and in turns: an order must not cost more because there are more processes
to share the work. With `--grow`, one and two of each, and two are offered twice the rate, so that each process has as
much to do as a single one. Counts all CPU that the venue's processes use during the load. Prints conditions and a
table, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from app.local.venue import ONE_OF_EACH, running_venue
from app.verification.running import Addresses, verify
from benchmarks.clients import Clients
from benchmarks.processes import usage_by_name
from load.report import conditions

RATE = 500
CONNECTIONS = 64
CLIENTS = 2
FIRST_SECONDS = 5  # a first load, which does not count, warms up servers and workers
TIMEOUT_S = 120.0
ONE, TWO = "1 matching, 1 gateway", "2 matching, 2 gateways"
SIZES: Mapping[str, Mapping[str, int]] = {
    ONE: {},
    "2 matching, 1 gateway": {"matching": 2},
    "1 matching, 2 gateways": {"gateway": 2},
    TWO: {"matching": 2, "gateway": 2},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=RATE, help="orders a second")
    parser.add_argument("--seconds", type=int, default=20, help="seconds of each run")
    parser.add_argument("--runs", type=int, default=1, help="runs of each size, in turns")
    parser.add_argument("--grow", action="store_true", help="only one and two of each, two at twice the rate")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    rates = {ONE: options.rate, TWO: 2 * options.rate} if options.grow else dict.fromkeys(SIZES, options.rate)
    found = asyncio.run(measure(rates, options.seconds, options.runs))
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["right"] else 1


async def measure(rates: Mapping[str, int], seconds: int, runs: int) -> dict[str, Any]:
    """Offer each size its orders a second, in turns, the first one first."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in rates}
    with Clients(CLIENTS) as clients:
        for _ in range(runs):
            for name, rate in rates.items():
                found[name].append(await _run(clients, SIZES[name], rate, seconds))
    is_right = all(
        run["verdict"] == "RIGHT" and run["accepted"] == rates[name] * seconds
        for name, runs in found.items()
        for run in runs
    )
    return {"conditions": conditions(), "rates": dict(rates), "seconds": seconds, "sizes": found, "right": is_right}


async def _run(clients: Clients, workers: Mapping[str, int], rate: int, seconds: int) -> dict[str, Any]:
    """The CPU of each role an order, in microseconds, and whether the venue is right."""
    with tempfile.TemporaryDirectory(prefix="matchstream-scaling-") as folder:
        async with running_venue(Path(folder) / "data", {**ONE_OF_EACH, **workers}) as venue:
            urls = [venue.web_url("gateway", slot) for slot in range(workers.get("gateway", 1))]
            entries = [
                entry for one in await clients.offer(urls, rate, FIRST_SECONDS, CONNECTIONS) for entry in one.entries
            ]
            before = usage_by_name(venue)
            offered = await clients.offer(urls, rate, seconds, CONNECTIONS)
            spent = {name: now.cpu_s - before[name].cpu_s for name, now in usage_by_name(venue).items()}
            entries += [entry for one in offered for entry in one.entries]
            where = Addresses(venue.servers.broker, venue.servers.database_url, venue.url)
            verdict = await verify(where, entries=entries, timeout_s=TIMEOUT_S)
    accepted = sum(one.statuses.get("201", 0) for one in offered)
    by_role: dict[str, float] = {}
    for name, cpu_s in spent.items():
        role = name.rpartition("-")[0] or name
        by_role[role] = round(by_role.get(role, 0.0) + cpu_s / max(1, accepted) * 1e6, 1)
    return {
        "accepted": accepted,
        "cpu_us": by_role,
        "all_us": round(sum(by_role.values()), 1),
        "verdict": "RIGHT" if verdict.is_right else verdict.as_text(),
    }


def _print(found: dict[str, Any]) -> None:
    where, rates = found["conditions"], found["rates"]
    print(f"\nfor {found['seconds']} s; {where['cpus']} cores, {where['cpu']}")
    base = median(run["all_us"] for run in found["sizes"][ONE])
    for name, runs in found["sizes"].items():
        costs = [run["all_us"] for run in runs]
        roles = ", ".join(f"{role} {median(run['cpu_us'][role] for run in runs):.0f}" for role in runs[0]["cpu_us"])
        spread = f"{median(costs):,.0f} µs CPU an order ({min(costs):,.0f} to {max(costs):,.0f})"
        print(f"  {name:<23} {rates[name]:,}/s: {spread}, {median(costs) / base:.2f} times: {roles}")
        for run in runs:
            if run["verdict"] != "RIGHT" or run["accepted"] != rates[name] * found["seconds"]:
                print(f"    accepted {run['accepted']:,}; {run['verdict']}")


if __name__ == "__main__":
    sys.exit(main())
