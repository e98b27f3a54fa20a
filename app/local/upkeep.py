"""The launcher's duties each second while a venue runs: it bounds the logs and warns before the disk is full."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from app.local.process import old_log

INTERVAL_S = 1.0
MAX_LOG_BYTES = 16 * 1024 * 1024
"""A longer log becomes `<name>.log.old` and replaces the one before."""
LOW_SPACE_BYTES = 1024**3
"""With less free space than this we warn the operator, and again each time the rest has halved."""


class Upkeep:
    """Looks after one data folder."""

    def __init__(self, folder: Path, say: Callable[[str], None], remember: Callable[[], None]) -> None:
        self._folder, self._say, self._remember = folder, say, remember
        self._warn_below = LOW_SPACE_BYTES

    async def run(self) -> None:
        """Do all duties each second, until cancelled."""
        while True:
            for duty in (self.look_at_space, self.bound_logs, self._remember):
                try:
                    duty()
                except OSError:  # the disk is full, or a log was just removed: try again next second
                    continue
            await asyncio.sleep(INTERVAL_S)

    def look_at_space(self) -> None:
        """Warn once when space runs low, and again each time the free space has halved."""
        free = shutil.disk_usage(self._folder).free
        if free >= LOW_SPACE_BYTES:
            self._warn_below = LOW_SPACE_BYTES
        elif free < self._warn_below:
            self._warn_below = free // 2
            room = f"{self._folder} has {free / 1e6:,.0f} MB left"
            self._say(f"WARNING: {room}: free some space; once the disk is full, orders are refused")

    def bound_logs(self) -> None:
        """Copy each log that is too long to its old log, and truncate it.

        The process that writes it keeps appending to the same file; lines written between copy and truncation are
        lost.
        """
        for log in (self._folder / "logs").glob("*.log"):
            if log.stat().st_size > MAX_LOG_BYTES:
                old = old_log(log)
                old.unlink(missing_ok=True)
                shutil.copyfile(log, old)
                with log.open("rb+") as file:
                    file.truncate()
