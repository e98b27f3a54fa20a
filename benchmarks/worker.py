"""A matching worker with one change for a measurement: `python -m benchmarks.worker CHANGE [faust's arguments]`.

CHANGE is `plain` (none), `no-checkpoints` (no state would survive a crash), or `profile=FILE` (a cProfile, written to
FILE when the worker stops).
"""

import cProfile
import sys

from faust.cli.faust import cli

from tables.recovery.checkpoint import Checkpoint


def main() -> None:
    change, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    if change == "no-checkpoints":
        Checkpoint.due = lambda self, now_ms: []  # type: ignore[method-assign]
        Checkpoint.dirty = lambda self: []  # type: ignore[method-assign]
    profile = cProfile.Profile()
    if change.startswith("profile="):
        profile.enable()
    try:
        cli()
    finally:
        if change.startswith("profile="):
            profile.disable()
            profile.dump_stats(change.removeprefix("profile="))


if __name__ == "__main__":
    main()
