"""`python -m benchmarks.pipeline`: the whole pipeline under a closed loop, compared with a bare durable handler.

wrk keeps a number of connections busy with single orders over HTTP: first on a bare handler (aiohttp, msgspec,
aiokafka: decode, produce, 201 once Kafka has it), then on a venue, in turns on the same machine. At the end, everything
that the venue accepted must be matched and recorded. With `--batch` the orders come in batches, and there is nothing to
compare with. Prints conditions and a table, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from app.local.process import Command, Process
from app.local.venue import ROOT, Venue
from app.verification.running import Addresses, until_quiet, verify
from benchmarks.processes import usage_by_name
from load.report import conditions

SCRIPT = Path(__file__).with_name("orders.lua")
BARE_TOPIC = "benchmark-bare"
QUIET_TIMEOUT_S = 300.0
READY_TIMEOUT_S = 30.0


class Loop(NamedTuple):
    """Results of one wrk run. Latencies are in ms; `answers` counts orders with status 201, `others` the rest."""

    answers: int
    others: int
    seconds: float
    p50_ms: float
    p99_ms: float
    generator_cpu_s: float

    @property
    def per_s(self) -> float:
        return self.answers / self.seconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20, help="seconds of each loop")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--runs", type=int, default=1, help="runs of both loops, in turns")
    parser.add_argument("--batch", type=int, default=1, help="orders in a request; 1: single orders")
    parser.add_argument("--gateway-only", action="store_true", help="run no matching and recording workers")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is not installed: install it (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    found = asyncio.run(
        measure(options.seconds, options.connections, options.runs, options.gateway_only, options.batch)
    )
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["right"] else 1


async def measure(seconds: int, connections: int, runs: int, gateway_only: bool, batch: int) -> dict[str, Any]:
    """Run both loops `runs` times in turns, each time in a new venue."""
    workers = {"gateway": 1} if gateway_only else {"gateway": 1, "matching": 1, "recording": 1}
    bare, ours, right = [], [], True
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="matchstream-pipeline-") as folder:
            venue = Venue(Path(folder) / "data", {"matching": 1, "recording": 1, "gateway": 1}, supervised=False)
            try:
                await venue.start()
                if batch == 1:
                    async with _bare_handler(venue) as url:
                        bare.append(await _loop(f"{url}/api/v1/orders", seconds, connections))
                for role in {"matching", "recording"} - workers.keys():
                    await venue.stop_worker(role)
                found, is_right = await _venue(venue, seconds, connections, batch, judged=not gateway_only)
                ours.append(found)
                right = right and is_right
            finally:
                await venue.stop()
    per_s, bare_per_s = median(o["per_s"] for o in ours), median(loop.per_s for loop in bare) if bare else None
    return {
        "conditions": conditions(),
        "connections": connections,
        "seconds": seconds,
        "gateway_only": gateway_only,
        "bare": [loop._asdict() | {"per_s": round(loop.per_s)} for loop in bare],
        "ours": ours,
        "batch": batch,
        "ratio": round(per_s / bare_per_s, 3) if bare_per_s else None,
        "right": right,
    }


async def _venue(venue: Venue, seconds: int, connections: int, batch: int, judged: bool) -> tuple[dict[str, Any], bool]:
    """Run wrk against the venue: its results, seconds until quiet, CPU per order; and whether the venue is right."""
    before = usage_by_name(venue)
    path = "/api/v1/orders" if batch == 1 else "/api/v1/orders/batch"
    loop = await _loop(f"{venue.url}{path}", seconds, connections, batch)
    found: dict[str, Any] = loop._asdict() | {"per_s": round(loop.per_s)}
    is_right = loop.others == 0
    if judged:
        began, where = time.monotonic(), Addresses(venue.servers.broker, venue.servers.database_url)
        await until_quiet(where, QUIET_TIMEOUT_S)
        found["quiet_after_s"] = round(time.monotonic() - began, 2)
    spent = {name: now.since(before[name]) for name, now in usage_by_name(venue).items()}
    found["cpu_us"] = {name: round(used.cpu_s / loop.answers * 1e6, 1) for name, used in spent.items()}
    found["wakeups"] = {name: round(used.wakeups / loop.answers, 2) for name, used in spent.items()}
    if judged:
        verdict = await verify(where, timeout_s=QUIET_TIMEOUT_S)
        found["verdict"] = "RIGHT" if verdict.is_right else verdict.as_text()
        is_right = is_right and verdict.is_right
    return found, is_right


@asynccontextmanager
async def _bare_handler(venue: Venue) -> AsyncIterator[str]:
    """Run the bare handler in a separate process; gives its URL."""
    port = venue.ports.get("bare")
    argv = [sys.executable, "-m", "benchmarks.bare", venue.servers.broker, BARE_TOPIC, str(port)]
    process = Process(Command("bare", argv, ROOT, dict(os.environ)), venue.log("bare"))
    await process.start()
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.1)
                    continue
                writer.close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        await process.stop()


async def _loop(url: str, seconds: int, connections: int, batch: int = 1) -> Loop:
    """Run wrk against this URL; raises RuntimeError with its output if it fails."""
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(SCRIPT),
        url,
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"ORDERS_IN_BATCH": str(batch)},
    )
    output = (await process.communicate())[0].decode()
    line = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    if process.returncode or line is None:
        raise RuntimeError(output)
    return Loop(**json.loads(line[1]))


def _print(found: dict[str, Any]) -> None:
    where = found["conditions"]
    print(f"\n{found['connections']} connections, {found['seconds']} s each; {where['cpus']} cores, {where['cpu']}")
    for name, loops in (("bare handler", found["bare"]), ("the venue", found["ours"])):
        for loop in loops:
            print(
                f"  {name:<13} {loop['per_s']:>7,} durable 201 a second, p50 {loop['p50_ms']:.1f} ms, "
                f"p99 {loop['p99_ms']:.1f} ms, other answers {loop['others']}"
            )
    for loop in found["ours"]:
        print("  CPU µs an order: " + ", ".join(f"{name} {cpu:.0f}" for name, cpu in loop["cpu_us"].items()))
        if "verdict" in loop:
            print(f"  quiet after {loop['quiet_after_s']} s, {loop['verdict']}")
    if found["ratio"] is not None:
        print(f"  ratio {found['ratio']}")


if __name__ == "__main__":
    sys.exit(main())
