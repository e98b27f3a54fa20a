"""How long a reader or sender waits before its next request, so that records share one: longer the faster they come.

A request costs Kafka and its client as much CPU as dozens of records. In a quiet venue a record leaves at once.
"""

from math import inf

FULL_RATE = 500.0  # records a second; from here on the pause is `most_s`
WINDOW_S = 0.1  # the rate is measured over at least this time


class Pace:
    """The pause between requests: `pause_s` is proportional to the rate of records, and at most `most_s`."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._records, self._since = 0, -inf
        self.pause_s = 0.0

    def note(self, records: int, now: float) -> None:
        """Count the records of a request or of an answer at this time (in seconds)."""
        self._records += records
        took_s = now - self._since
        if took_s >= WINDOW_S:
            self.pause_s = self._most_s * min(1.0, self._records / took_s / FULL_RATE)
            self._records, self._since = 0, now
