"""What the launcher does each second while a venue runs: it bounds the logs, and warns before the disk is full."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from app.local.process import old_log

INTERVAL_S = 1.0
MAX_LOG_BYTES = 16 * 1024 * 1024
"""A longer log becomes `<name>.log.old`, of which there is one."""
LOW_SPACE_BYTES = 1024**3
"""With less than this left on the disk the operator is warned, and again at each half of it."""


class Upkeep:
    """Looks after one data folder."""

    def __init__(self, folder: Path, say: Callable[[str], None], remember: Callable[[], None]) -> None:
        self._folder, self._say, self._remember = folder, say, remember
        self._warn_below = LOW_SPACE_BYTES

    async def run(self) -> None:
        """Do it each second, until cancelled."""
        while True:
            for duty in (self.look_at_space, self.bound_logs, self._remember):
                try:
                    duty()
                except OSError:  # the disk is full, or a log has just gone: it is tried again
                    continue
            await asyncio.sleep(INTERVAL_S)

    def look_at_space(self) -> None:
        """Warn once when the space runs low, and each time that half of what was left is gone."""
        free = shutil.disk_usage(self._folder).free
        if free >= LOW_SPACE_BYTES:
            self._warn_below = LOW_SPACE_BYTES
        elif free < self._warn_below:
            self._warn_below = free // 2
            room = f"{self._folder} has {free / 1e6:,.0f} MB left"
            self._say(f"WARNING: {room}: make room, or orders are refused when it is full")

    def bound_logs(self) -> None:
        """Begin each log that is too long from the start, and keep its content as the old one.

        The process that writes it goes on appending to the same file; what it writes between copy and cut is lost.
        """
        for log in (self._folder / "logs").glob("*.log"):
            if log.stat().st_size > MAX_LOG_BYTES:
                old = old_log(log)
                old.unlink(missing_ok=True)
                shutil.copyfile(log, old)
                with log.open("rb+") as file:
                    file.truncate()
