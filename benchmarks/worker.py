"""A matching worker with something changed for a measurement: `python -m benchmarks.worker CHANGE [faust's arguments]`.

CHANGE is `plain`, `no-checkpoints` (nothing would survive a crash), or `profile=FILE` (cProfile's figures go there).
"""

import cProfile
import os
import signal
import sys
from types import FrameType

from faust.cli.faust import cli

from tables.checkpoint import Checkpoint


def main() -> None:
    change, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    if change == "no-checkpoints":
        Checkpoint.due = lambda self, now_ms: []  # type: ignore[method-assign]
        Checkpoint.dirty = lambda self: []  # type: ignore[method-assign]
    if change.startswith("profile="):
        _profile(change.removeprefix("profile="))
    cli()


def _profile(file: str) -> None:
    """Profile until SIGUSR1 says that it is enough."""
    profile = cProfile.Profile()

    def finish(number: int, frame: FrameType | None) -> None:
        profile.disable()
        profile.dump_stats(file)
        os._exit(0)

    signal.signal(signal.SIGUSR1, finish)
    profile.enable()


if __name__ == "__main__":
    main()
