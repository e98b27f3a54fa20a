"""Runs `python -m app …` as a user would, and reads its output, exit code and processes."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from app.local import state
from app.local.venue import ROOT
from tests import warm

START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 60.0
POLL_S = 0.05


def app(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that ends on its own."""
    command = [warm.python(), "-m", "app", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=START_TIMEOUT_S)


def assert_refused(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    """Require exit code 1, and on standard error only this sentence."""
    assert (done.returncode, done.stderr) == (1, sentence + "\n")


class Up:
    """A running `python -m app up`."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._output = folder.with_name(f"{folder.name}.output")
        command = [sys.executable, "-m", "app", "up", "--data", str(folder), *arguments]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | (env or {}), stdout=output, stderr=subprocess.STDOUT
            )

    def lines(self) -> list[str]:
        """The launcher's own lines so far, without its name."""
        lines = self._output.read_text(errors="replace").splitlines()
        return [line.partition("| ")[2] for line in lines if line.startswith("matchstream ")]

    def until(self, beginning: str) -> str:
        """Wait for the first line that begins like this."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            if found := [line for line in self.lines() if line.startswith(beginning)]:
                return found[0]
            assert not ended, self._output.read_text(errors="replace")
            time.sleep(POLL_S)
        raise AssertionError(f"no line began with {beginning!r}: {self._output.read_text(errors='replace')}")

    def shown(self, name: str) -> str:
        """The address printed for a worker or an environment variable."""
        return next(word for line in self.lines() if line.startswith(f"{name} ") and "://" in (word := line.split()[1]))

    def processes(self) -> list[psutil.Process]:
        """The launcher, its descendants, and all processes in its state file."""
        launcher = psutil.Process(self.process.pid)
        known = state.read(self.folder)
        named = [found for identity in known.processes.values() if (found := identity.find())] if known else []
        return [launcher, *launcher.children(recursive=True), *named]

    def pid(self, name: str) -> int:
        """The process that the state file names at the moment."""
        known = state.read(self.folder)
        assert known is not None
        return known.processes[name].pid

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(END_TIMEOUT_S)


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still running."""
    return [process for process in processes if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False
