"""One child process: started on a leash with output in a file, known by pid and start time, stopped in time."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import STDOUT

import psutil

LEASH = Path(__file__).with_name("leash.py")
LOG_ROTATED_BYTES = 64 * 1024 * 1024
"""A log longer than this at a start becomes `<name>.log.old`."""


@dataclass(frozen=True)
class Command:
    """What to run and how it wants to be stopped. `user` is for a root launcher: the user that the child runs as."""

    name: str
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 15.0
    orphan_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Identity:
    """A process for certain: pids are used again, a pid with its start time is not."""

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """The living process, None if it is gone or another one has its pid."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class Process:
    """A running child. Start it from the main thread: the leash is tied to the thread that starts it."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        self.identity: Identity | None = None
        self._child: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def exit_code(self) -> int | None:
        return self._child.returncode if self._child else None

    async def start(self) -> None:
        """Start the child; its output is appended to the log."""
        command = self.command
        orphan_signal, user = str(int(command.orphan_signal)), command.user or "-"
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), orphan_signal, user]
        rotate(self.log)
        with self.log.open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                *leash,
                *command.argv,
                cwd=command.cwd,
                env=dict(command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=STDOUT,
                start_new_session=True,  # else Ctrl-C reaches it at once, and we could not choose the order
            )
        self.identity = identity_of(self._child.pid)

    async def wait(self) -> int:
        """The exit code; negative is a signal's number."""
        assert self._child is not None
        return await self._child.wait()

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self._child is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal_number)

    async def stop(self) -> None:
        """Ask it to stop, kill it when its time is over, return when it is gone."""
        if not self.running:
            return
        self.send(self.command.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), self.command.stop_timeout_s)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL, and return when it is gone."""
        child = self._child  # a supervisor may have replaced it when the wait is over
        self.send(signal.SIGKILL)
        if child is not None:
            await child.wait()


def identity_of(pid: int) -> Identity | None:
    """The identity of a living process, None if it has ended already."""
    with contextlib.suppress(psutil.Error):
        return Identity(pid, psutil.Process(pid).create_time())
    return None


def stop_left(identities: Sequence[Identity], timeout_s: float = 10.0) -> int:
    """End what a killed launcher left behind; how many there were."""
    left = [process for identity in identities if (process := identity.find())]
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=timeout_s)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn)
    return len(left)


def rotate(log: Path) -> None:
    """Keep at most one old log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_ROTATED_BYTES:
        log.replace(log.with_name(log.name + ".old"))


def plain_environment() -> dict[str, str]:
    """The environment of the servers: nothing of the machine's own Java, Postgres or Redis can leak in."""
    return {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
