"""`python -m benchmarks.report`: run all benchmarks and print every target beside the measured figure.

A run is short by default; `--full` takes about 50 minutes. `--write` writes them to a page here, `--only` picks runs.
A run that fails, or needs a program that is missing (wrk), leaves its targets unmeasured, and the exit code is 1. The
machine must have nothing else to do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from app.local.venue import ROOT
from benchmarks.targets import as_markdown, as_text, compared
from load.report import conditions

RESULTS = Path(__file__).with_name("RESULTS.md")
RATES = ("--rates", "500", "1000", "2000")
# 3,200 orders: with more, a slow machine lets some wait for longer than a second, and refuses them (web/entry/room.py).
BATCHES = ("--batch", "100", "--connections", "32")
# These runs are short, because the engine is stopped: once 20,000 orders of a partition wait, the gateway refuses more.
ALONE = ("--gateway-only",)


class Run(NamedTuple):
    """A benchmark with its arguments in short and in full; its JSON comes from `--json`, or else from stdout."""

    name: str
    module: str
    short: tuple[str, ...]
    full: tuple[str, ...]
    writes_file: bool = True


RUNS = (
    Run("core", "benchmarks.core", ("--runs", "3"), ()),
    Run("matching", "benchmarks.matching", ("--orders", "200000", "--variants", "exact"), ("--runs", "3")),
    Run("recovery", "benchmarks.recovery", ("--small",), ()),
    Run("sizes", "benchmarks.sizes", ("--rate", "200", "--seconds", "30"), ("--rate", "200")),
    Run("stages", "benchmarks.stages", (*RATES, "--seconds", "15"), (*RATES, "--seconds", "60")),
    Run("gateway", "benchmarks.pipeline", (*ALONE, "--seconds", "10"), (*ALONE, "--seconds", "10", "--runs", "3")),
    Run(
        "gateway_batches",
        "benchmarks.pipeline",
        (*ALONE, *BATCHES, "--seconds", "3"),
        (*ALONE, *BATCHES, "--seconds", "3", "--runs", "3"),
    ),
    Run("order_entry", "benchmarks.order_entry", (), ("--orders", "50000"), writes_file=False),
    Run("pipeline", "benchmarks.pipeline", ("--seconds", "15"), ("--seconds", "60", "--runs", "3")),
    Run("batches", "benchmarks.pipeline", (*BATCHES, "--seconds", "10"), (*BATCHES, "--runs", "3")),
    Run("ramp", "benchmarks.ramp", ("--seconds", "10"), ("--seconds", "30")),
    Run("scaling", "benchmarks.scaling", ("--seconds", "10"), ("--runs", "2")),
    Run("clearing", "benchmarks.clearing", (), ()),
)


def main() -> int:
    names = [run.name for run in RUNS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="long runs")
    parser.add_argument("--write", action="store_true", help="write the page of results")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="only these runs")
    options = parser.parse_args()
    began = time.monotonic()
    results = {run.name: result(run, options.full) for run in RUNS if run.name in options.only}
    found = {name: each for name, each in results.items() if each is not None}
    lines, where = compared(found), conditions()
    print(f"\n{where['cpus']} cores, {where['cpu']}, a bare loop of 10 M {where['loop_s']} s, {_minutes(began)}\n")
    print("\n".join(as_text(lines)))
    if options.write:
        RESULTS.write_text(
            _document("\n".join(as_markdown(lines)), found, where, _minutes(began), "long" if options.full else "short")
        )
    return 0 if len(found) == len(results) else 1


def result(run: Run, is_full: bool) -> Any:
    """The JSON of a run; None if it wrote none. Its own table goes to our stdout."""
    with tempfile.TemporaryDirectory(prefix="matchstream-report-") as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, "-m", run.module, *(run.full if is_full else run.short)]
        print(f"\n== {run.name}: {' '.join(command[1:])}", flush=True)
        if run.writes_file:
            subprocess.run([*command, "--json", str(file)], cwd=ROOT, check=False)
            return json.loads(file.read_text()) if file.exists() else None
        done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
        print(done.stdout)
        return json.loads(done.stdout) if done.returncode == 0 else None


def _document(table: str, found: dict[str, Any], where: dict[str, Any], took: str, length: str) -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True)
    commit, cpu = asked.stdout.strip()[:12] or "unknown", f"{where['cpus']} cores, {where['cpu']}"
    return f"""# Results

`python -m benchmarks.report --write` wrote this page: {datetime.now(UTC):%Y-%m-%d}, commit {commit}, {length} runs,
{took}.
{cpu}, Python {where["python"]}; a bare loop of 10 M iterations took {where["loop_s"]} s.
Servers and load generators run on the same machine. Compare ratios: another machine, or another day, has others.

{table}

## As JSON

```json
{json.dumps(found, indent=1)}
```
"""


def _minutes(began: float) -> str:
    return f"{(time.monotonic() - began) / 60:.0f} minutes"


if __name__ == "__main__":
    sys.exit(main())
