"""The CPU time and wake-ups that each process of a venue has used so far, and its memory."""

from collections.abc import Iterator
from typing import NamedTuple

import psutil

from app.local.venue import Venue


class Usage(NamedTuple):
    """CPU seconds (user and system, all threads), and wake-ups (voluntary context switches)."""

    cpu_s: float
    wakeups: int

    def since(self, before: "Usage") -> "Usage":
        return Usage(self.cpu_s - before.cpu_s, self.wakeups - before.wakeups)


def usage_by_name(venue: Venue) -> dict[str, Usage]:
    """Usage by process name, servers first; includes children (Postgres forks one per connection)."""
    return {name: _tree(process) for name, process in _running(venue)}


def memory_mb(venue: Venue) -> dict[str, float]:
    """The resident memory of each process by name, without children (Postgres' share most of theirs)."""
    return {name: process.memory_info().rss / 2**20 for name, process in _running(venue)}


def _running(venue: Venue) -> Iterator[tuple[str, psutil.Process]]:
    for name, process in {**venue.servers.processes, **venue.processes}.items():
        found = process.identity.find() if process.identity else None
        if found is not None:
            yield name, found


def _tree(root: psutil.Process) -> Usage:
    cpu_s, wakeups = 0.0, 0
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        cpu_s += times.user + times.system
        wakeups += sum(_voluntary(process.pid, thread.id) for thread in process.threads())
    return Usage(cpu_s, wakeups)


def _voluntary(pid: int, thread: int) -> int:
    """Voluntary context switches of a thread, as Linux counts them; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/task/{thread}/status") as status:  # noqa: PTH123 - reads some 60 files each time
            lines = dict(line.split(":", 1) for line in status)
    except OSError:
        return 0
    return int(lines["voluntary_ctxt_switches"])
