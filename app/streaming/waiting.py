"""Reasons to wait that no restart cures, such as an absent database: /readyz shows them, the watchdogs allow them."""

from collections.abc import Callable

_asked: list[Callable[[], str | None]] = []


def may_wait(reason: Callable[[], str | None]) -> None:
    """Register a function that returns a sentence while the process waits, else None."""
    _asked.append(reason)


def waits_for() -> str | None:
    """The first reason for which the process waits now, or None."""
    return next((sentence for reason in _asked if (sentence := reason())), None)
