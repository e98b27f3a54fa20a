"""Keep a worker's log readable: aiokafka says the same sentence again only after some seconds.

While Kafka is away it would log some hundred lines a second, and two each time that a gateway looks up an old order.
Log files are bounded, so the lines that an operator looks for would be gone.
"""

import logging
import time
from collections.abc import Callable

REPEAT_S = 10.0
MAX_SENTENCES = 1_000
"""Sentences to remember; then we forget all of them, and each is logged again."""


class SeldomRepeated(logging.Filter):
    """Lets a sentence of aiokafka pass if it was not logged in the last REPEAT_S; other records always pass."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged: dict[str, float] = {}
        """Sentence -> when it was last logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        sentence, now = record.getMessage(), self._clock()
        if now - self._logged.get(sentence, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._logged) >= MAX_SENTENCES:
            self._logged.clear()
        self._logged[sentence] = now
        return True


def repeat_seldom() -> None:
    """Filter what this process logs from now on."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(SeldomRepeated())
