"""Fail-stop: any unexpected error ends the process at once; a restart is the only recovery (docs/EXACTNESS.md)."""

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
REVOKED_CODE = 75  # EX_TEMPFAIL: nothing is wrong, the group is reassigning its partitions
DAMAGE_SHOWN_S = 30.0  # long enough for probes and Prometheus to see it; the next start meets the same damage

_log = logging.getLogger(__name__)
_damages: list[DamagedLog] = []
P = ParamSpec("P")


def end_process(reason: str, error: BaseException | None = None, code: int = EXIT_CODE) -> NoReturn:
    """Log the reason and end the process at once, so that it acknowledges nothing more."""
    _log.critical("ending the process: %s", reason, exc_info=error)
    _leave(code)


async def end_damaged(damage: DamagedLog) -> NoReturn:
    """Log the damage, show it in /readyz and the metrics for DAMAGE_SHOWN_S, then end the process."""
    _damages.append(damage)
    metrics.damaged_offset.labels(damage.topic, damage.partition).set(damage.offset)
    _log.critical("ending the process in %g s: %s", DAMAGE_SHOWN_S, damage)
    await asyncio.sleep(DAMAGE_SHOWN_S)
    _leave(EXIT_CODE)


def damaged_log() -> str | None:
    """The message about the first damaged log that this process has found."""
    return str(_damages[0]) if _damages else None


def fail_stop(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Coroutine[Any, Any, None]]:
    """Make exceptions of an agent or task end the process: Faust would acknowledge the event and continue."""

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
