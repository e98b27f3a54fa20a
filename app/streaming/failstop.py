"""Fail-stop: any surprise ends the process at once, and start-up is the only recovery path (exactness.md)."""

import logging
import os
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NoReturn, ParamSpec

EXIT_CODE = 70  # EX_SOFTWARE; the supervisor starts the process again
REVOKED_CODE = 75  # EX_TEMPFAIL: nothing is wrong, the group assigns the partitions anew

_log = logging.getLogger(__name__)
P = ParamSpec("P")


def end_process(reason: str, error: BaseException | None = None, code: int = EXIT_CODE) -> NoReturn:
    """Log the reason and end the process without running anything else, so that nothing more is acknowledged."""
    _log.critical("ending the process: %s", reason, exc_info=error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stderr.flush()
    os._exit(code)


def fail_stop(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Coroutine[Any, Any, None]]:
    """An agent or task whose exceptions end the process: Faust would acknowledge the event and go on."""

    @wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await function(*args, **kwargs)
        except Exception as error:
            end_process(f"{function.__name__} failed", error)

    return guarded
