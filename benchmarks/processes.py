"""What each process of a venue has used so far: CPU time, and how often it was put to sleep and woken."""

from typing import NamedTuple

import psutil

from app.local.venue import Venue


class Usage(NamedTuple):
    """CPU seconds (user and system, all threads), and voluntary context switches: each is a sleep and a wake-up."""

    cpu_s: float
    wakeups: int

    def since(self, before: "Usage") -> "Usage":
        return Usage(self.cpu_s - before.cpu_s, self.wakeups - before.wakeups)


def usage_by_name(venue: Venue) -> dict[str, Usage]:
    """By name, servers first; a process counts with its children (Postgres works in one for each connection)."""
    processes = {**venue.servers.processes, **venue.processes}
    running = {name: process.identity.find() for name, process in processes.items() if process.identity}
    return {name: _tree(process) for name, process in running.items() if process}


def _tree(root: psutil.Process) -> Usage:
    cpu_s, wakeups = 0.0, 0
    for process in [root, *root.children(recursive=True)]:
        times = process.cpu_times()
        cpu_s += times.user + times.system
        wakeups += sum(_voluntary(process.pid, thread.id) for thread in process.threads())
    return Usage(cpu_s, wakeups)


def _voluntary(pid: int, thread: int) -> int:
    """Of one thread, as Linux counts it; 0 for one that has ended."""
    try:
        with open(f"/proc/{pid}/task/{thread}/status") as status:  # noqa: PTH123 - some 60 files at each look
            lines = dict(line.split(":", 1) for line in status)
    except OSError:
        return 0
    return int(lines["voluntary_ctxt_switches"])
