"""Places where a test may kill this process: `FAILPOINT=name:nth` ends it with SIGKILL at the nth time it is reached.

Unset, which is always outside tests, `reach` is a function that does nothing.
"""

import os
import signal
from collections.abc import Callable

VARIABLE = "FAILPOINT"


def _armed(name: str, nth: int) -> Callable[[str], None]:
    left = nth

    def reach(failpoint: str) -> None:
        nonlocal left
        if failpoint == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reach


def _unarmed(failpoint: str) -> None:
    pass


def _from_environment() -> Callable[[str], None]:
    given = os.environ.get(VARIABLE)
    if not given:
        return _unarmed
    name, _, nth = given.rpartition(":")
    return _armed(name, int(nth))


reach = _from_environment()
