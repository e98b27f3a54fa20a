"""Waiting for what nobody tells us: ask again until the answer is right."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Protocol, TypeVar

UNTIL_S = 60.0
PAUSE_S = 0.02
LONGER = (
    1.5  # is each pause than the one before, up to LONGEST_PAUSE_S: who waits long must not take the CPU from others
)
LONGEST_PAUSE_S = 0.25
LONG_PAUSE_S = 0.5
"""For questions that cost a tenth of a second of CPU or more: a command, a whole topic."""
ACCEPTED = 202


class HasStatus(Protocol):
    @property
    def status(self) -> int | None: ...


T = TypeVar("T")
A = TypeVar("A", bound=HasStatus)


async def until(
    ask: Callable[[], Awaitable[T] | T],
    is_right: Callable[[T], Any] = bool,
    timeout_s: float = UNTIL_S,
    pause_s: float = PAUSE_S,
) -> T:
    """The first right answer; an AssertionError with the last one when none comes in time."""
    give_up = time.monotonic() + timeout_s
    while True:
        asked = ask()
        answer: T = await asked if isawaitable(asked) else asked
        if is_right(answer):
            return answer
        assert time.monotonic() < give_up, answer
        await asyncio.sleep(pause_s)
        pause_s = max(pause_s, min(pause_s * LONGER, LONGEST_PAUSE_S))


async def until_done(ask: Callable[[], Awaitable[A]]) -> A:
    """The answer to a request with a key, sent again while it is 202: the engine has not done it within two seconds."""
    return await until(ask, lambda answer: answer.status != ACCEPTED)
