"""What this process waits for that no restart would bring: its /readyz shows it, and the watchdogs excuse it."""

from collections.abc import Callable

_asked: list[Callable[[], str | None]] = []


def may_wait(reason: Callable[[], str | None]) -> None:
    """Ask this whenever somebody wants to know: a sentence while the process waits, else None."""
    _asked.append(reason)


def waits_for() -> str | None:
    """The first reason to wait at present."""
    return next((sentence for reason in _asked if (sentence := reason())), None)
