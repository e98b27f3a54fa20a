"""Fail-stop: any surprise ends the process at once, and start-up is the only recovery path (docs/EXACTNESS.md)."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NoReturn, ParamSpec

from app import metrics
from app.streaming.intact import DamagedLog

EXIT_CODE = 70  # EX_SOFTWARE; the supervisor starts the process again
REVOKED_CODE = 75  # EX_TEMPFAIL: nothing is wrong, the group assigns the partitions anew
DAMAGE_SHOWN_S = 30.0  # probes and Prometheus look every few seconds, and the next start meets the same damage

_log = logging.getLogger(__name__)
_damages: list[DamagedLog] = []
P = ParamSpec("P")


def end_process(reason: str, error: BaseException | None = None, code: int = EXIT_CODE) -> NoReturn:
    """Log the reason and end the process without running anything else, so that nothing more is acknowledged."""
    _log.critical("ending the process: %s", reason, exc_info=error)
    _leave(code)


async def end_damaged(damage: DamagedLog) -> NoReturn:
    """Log the damage, show it in /readyz and the figures for DAMAGE_SHOWN_S, then end the process."""
    _damages.append(damage)
    metrics.damaged_offset.labels(damage.topic, damage.partition).set(damage.offset)
    _log.critical("ending the process in %g s: %s", DAMAGE_SHOWN_S, damage)
    await asyncio.sleep(DAMAGE_SHOWN_S)
    _leave(EXIT_CODE)


def damaged_log() -> str | None:
    """The sentence about the first damaged log that this process has met."""
    return str(_damages[0]) if _damages else None


def fail_stop(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Coroutine[Any, Any, None]]:
    """An agent or task whose exceptions end the process: Faust would acknowledge the event and go on."""

    @wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await function(*args, **kwargs)
        except DamagedLog as damage:
            await end_damaged(damage)
        except Exception as error:
            end_process(f"{function.__name__} failed", error)

    return guarded


def _leave(code: int) -> NoReturn:
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stderr.flush()
    os._exit(code)
