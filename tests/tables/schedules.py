"""`python -m tests.tables.schedules`: random schedules of the recovery protocol, on all cores; 1 when one is violated.

`--bug NAME` runs a seeded bug instead (1 when it is *not* seen); `--seed N` and `--schedules N` say which and how many.
"""

import argparse
import gc
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.tables.bugs import worlds
from tests.tables.world import World, run_schedules

PIECE = 250


def run_all(first: int, count: int, bug: str | None = None) -> tuple[Counter[str], Counter[str], Any]:
    """Violations by kind, what was met, and the first failing seed with its difference; over all cores."""
    kinds, met, failure = Counter[str](), Counter[str](), None
    pieces = [(start, min(PIECE, first + count - start), bug) for start in range(first, first + count, PIECE)]
    with ProcessPoolExecutor(os.cpu_count(), initializer=gc.freeze) as pool:
        for some_kinds, some_met, some_failure in pool.map(_run, pieces):
            kinds, met, failure = kinds + some_kinds, met + some_met, failure or some_failure
    return kinds, met, failure


def _run(piece: tuple[int, int, str | None]) -> tuple[Counter[str], Counter[str], Any]:
    first, count, bug = piece
    return run_schedules(first, count, worlds()[bug] if bug else World)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug", choices=sorted(worlds()))
    options = parser.parse_args()
    kinds, met, failure = run_all(options.seed, options.schedules, options.bug)
    print(f"{options.schedules:,} schedules from seed {options.seed}: {kinds.total():,} violations {dict(kinds)}")
    print("met:", ", ".join(f"{what} {count:,}" for what, count in sorted(met.items())))
    if failure:
        print(f"first: seed {failure[0]}: {failure[1]}")
    return int(bool(failure) != bool(options.bug))


if __name__ == "__main__":
    sys.exit(main())
