"""The pauses between attempts: exponential backoff with jitter."""

from random import Random
from typing import NamedTuple


class Backoff(NamedTuple):
    """The n-th pause is 50 to 100 % of `first_s` x 2^(n-1), at most `longest_s`; give up after `attempts`."""

    first_s: float = 0.05
    longest_s: float = 2.0
    attempts: int = 12

    def pause_s(self, attempt: int, random: Random) -> float:
        """How long to wait after this attempt, counted from 1."""
        whole = min(self.longest_s, self.first_s * 2.0 ** (attempt - 1))
        return whole * (0.5 + random.random() / 2)
