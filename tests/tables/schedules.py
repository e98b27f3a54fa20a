"""`python -m tests.tables.schedules`: random schedules of the recovery protocol, on all cores; 1 when one is violated.

`--bug NAME` runs a seeded bug instead (1 when it is *not* seen); `--seed N` and `--schedules N` say which and how many.
"""

import argparse
import gc
import os
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from tests.tables.bugs import worlds
from tests.tables.world.schedule import World, run_schedules

PIECE = 250
# Violations by kind, what was met, and the first failing seed with its difference.
Found = tuple[Counter[str], Counter[str], Any]


class Piece(NamedTuple):
    """Schedules from the seed `first` on; of a seeded bug, if one is named."""

    first: int
    count: int
    bug: str | None = None


def pieces(first: int, count: int, bug: str | None = None) -> list[Piece]:
    """All schedules, in pieces for one process each."""
    return [Piece(start, min(PIECE, first + count - start), bug) for start in range(first, first + count, PIECE)]


def run_piece(piece: Piece) -> Found:
    return run_schedules(piece.first, piece.count, worlds()[piece.bug] if piece.bug else World)


def together(found: Iterable[Found]) -> Found:
    """What all pieces have found, in their order."""
    kinds, met, failure = Counter[str](), Counter[str](), None
    for some_kinds, some_met, some_failure in found:
        kinds, met, failure = kinds + some_kinds, met + some_met, failure or some_failure
    return kinds, met, failure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug", choices=sorted(worlds()))
    options = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count(), initializer=gc.freeze) as pool:
        todo = pieces(options.seed, options.schedules, options.bug)
        kinds, met, failure = together(pool.map(run_piece, todo))
    print(f"{options.schedules:,} schedules from seed {options.seed}: {kinds.total():,} violations {dict(kinds)}")
    print("met:", ", ".join(f"{what} {count:,}" for what, count in sorted(met.items())))
    if failure:
        print(f"first: seed {failure[0]}: {failure[1]}")
    return int(bool(failure) != bool(options.bug))


if __name__ == "__main__":
    sys.exit(main())
