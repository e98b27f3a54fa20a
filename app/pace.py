"""How long a reader or sender waits before its next request, so that records share one: longer the faster they come.

A request costs Kafka and its client as much CPU as dozens of records. In a quiet venue a record leaves at once.
"""

from math import inf

FULL_RATE = 500.0  # records a second from which on the pause is `most_s`, where an order waits for it
LATE_RATE = 50.0  # … and where nobody waits: a few records a second cost many small requests otherwise
WINDOW_S = 0.1  # the rate is measured over at least this time


class Pace:
    """The pause between requests: `pause_s` is proportional to the rate of records, `most_s` from `full_rate` on."""

    def __init__(self, most_s: float, full_rate: float = FULL_RATE) -> None:
        self._most_s, self._full_rate = most_s, full_rate
        self._records, self._since, self._next_at = 0, -inf, -inf
        self.pause_s = 0.0

    def wait_s(self, now: float) -> float:
        """The seconds from this time until the next request may leave."""
        return max(0.0, self._next_at - now)

    def note(self, records: int, now: float) -> None:
        """Count the records of a request or of an answer at this time (in seconds); the pause begins."""
        self._records += records
        took_s = now - self._since
        if took_s >= WINDOW_S:
            self.pause_s = self._most_s * min(1.0, self._records / took_s / self._full_rate)
            self._records, self._since = 0, now
        self._next_at = now + self.pause_s
