"""A progress bar for long commands: on a terminal only, at most ten times a second."""

import time
from typing import TextIO

WIDTH = 30
INTERVAL_S = 0.1


class ProgressBar:
    """One line that is redrawn in place."""

    def __init__(self, what: str, out: TextIO) -> None:
        self._what, self._out, self._is_shown = what, out, out.isatty()
        self._started = self._drawn = time.monotonic()

    def show(self, done: int, total: int) -> None:
        """Draw the bar for `done` of `total`."""
        now = time.monotonic()
        if not self._is_shown or now - self._drawn < INTERVAL_S:
            return
        self._drawn = now
        bar = "#" * (WIDTH * done // max(1, total))
        rate = done / max(0.001, now - self._started)
        self._out.write(f"\r[{bar:<{WIDTH}}] {done:,} of {total:,} {self._what}, {rate:,.0f}/s ")
        self._out.flush()

    def clear(self) -> None:
        """Erase the bar."""
        if self._is_shown:
            self._out.write("\r\x1b[K")
            self._out.flush()
