"""A failpoint kills where and when it is told to, and a name that there is not is refused."""

import os
import signal
import subprocess
import sys

import pytest

from app.streaming import failpoints
from tables.recovery.checkpoint import Checkpoint

THREE_TIMES = "from app.streaming.failpoints import reach\nfor n in range(3): reach('fetched'); print(n, flush=True)"


def _run(failpoint: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, failpoints.VARIABLE: failpoint}
    return subprocess.run([sys.executable, "-c", THREE_TIMES], env=environment, capture_output=True, text=True)


def test_the_process_is_killed_the_nth_time() -> None:
    """Nothing of it runs after that: no handler, no flush."""
    ended = _run("fetched:2")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "0\n")


def test_without_one_nothing_happens() -> None:
    """Outside tests the variable is unset."""
    ended = _run("")
    assert (ended.returncode, ended.stdout) == (0, "0\n1\n2\n")


def test_a_name_that_there_is_not_is_refused() -> None:
    """A slip of the pen would wait for ever for a death that never comes."""
    with pytest.raises(ValueError, match="there is no failpoint fetchd"):
        failpoints.armed("fetchd:1")


def test_each_stage_of_a_checkpoint_is_one() -> None:
    """Renaming a stage must not lose its failpoint."""
    assert {f"after-{stage}" for stage in Checkpoint.STAGES} <= set(failpoints.MATCHING)
