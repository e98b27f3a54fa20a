"""Prints new lines of the workers' log files on the terminal, each with the worker's name."""

import asyncio
import contextlib
import sys
from pathlib import Path

POLL_S = 0.2
NAME_WIDTH = 12
COLOURS = (36, 33, 35, 32, 34, 31)
"""Terminal codes: cyan, yellow, magenta, green, blue, red."""


class Terminal:
    """Prints the launcher's lines and those of the followed files; in colour only on a terminal."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty()
        self._followed: dict[str, Path] = {}
        self._read: dict[str, int] = {}

    def say(self, line: str) -> None:
        """Print a line of the launcher itself."""
        self._print("matchstream", line, 1)

    def follow(self, name: str, log: Path) -> None:
        """Show what is appended to this file from now on."""
        self._followed[name] = log
        self._read[name] = log.stat().st_size if log.exists() else 0

    async def show(self) -> None:
        """Show new lines until cancelled."""
        while True:
            for index, name in enumerate(self._followed):
                with contextlib.suppress(OSError):  # try again at the next poll
                    self._show_new(name, COLOURS[index % len(COLOURS)])
            await asyncio.sleep(POLL_S)

    def _show_new(self, name: str, colour: int) -> None:
        log = self._followed[name]
        size = log.stat().st_size if log.exists() else 0
        if size < self._read[name]:  # it was rotated
            self._read[name] = 0
        if size == self._read[name]:
            return
        with log.open("rb") as file:
            file.seek(self._read[name])
            whole, _, _ = file.read().rpartition(b"\n")
        self._read[name] += len(whole) + 1 if whole else 0
        for line in whole.decode(errors="replace").splitlines():
            self._print(name, line, colour)

    def _print(self, name: str, line: str, colour: int) -> None:
        prefix = f"{name:<{NAME_WIDTH}} |"
        prefix = f"\x1b[{colour}m{prefix}\x1b[0m" if self._colours else prefix
        with contextlib.suppress(OSError):  # a closed terminal or a full disk must not end the venue
            print(prefix, line, flush=True)
