"""One child process: started on a leash (leash.py), logged to a file, identified by pid and start time, stopped."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import psutil

from app.local.problems import CannotStart

LEASH = Path(__file__).with_name("leash.py")
POLL_S = 0.05
LAST_WORDS_BYTES = 64 * 1024
"""We read at most this much of the end of a log to learn why a process ended."""

OF_A_WORKER = ("ROLE", "SLOT", "WEB_PORT", "APP_DATADIR", "NODE_CANONICAL_URL")


@dataclass(frozen=True)
class Command:
    """What to run and how to stop it. `user` is the user that the child runs as, if the launcher is root."""

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
    """Identifies one process: the system reuses a pid, but not together with its start time."""

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """The running process; None if it has ended, even if another process has its pid now."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class Child(Protocol):
    """What we use of asyncio.subprocess.Process."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: int) -> None: ...


class Process:
    """A child process. Start it from the main thread: the leash kills it when the starting thread ends."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self.log = log
        self.identity: Identity | None = None
        self._child: Child | None = None
        self._log_begin = 0
        self._old_log_changed_ns = 0

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def exit_code(self) -> int | None:
        return self._child.returncode if self._child else None

    async def start(self) -> None:
        """Start the child; its output is appended to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._log_begin = output.tell()
            self._old_log_changed_ns = _changed_ns(old_log(self.log))
            self._child = await self.spawn(output)
        self.identity = identity_of(self._child.pid)

    async def wait(self) -> int:
        """Wait for the end; returns the exit code, or minus the number of the signal that ended the process."""
        assert self._child is not None
        return await self._child.wait()

    def last_words(self) -> str:
        """The end of what the process has written since its start; empty if the log cannot be read.

        If the log was rotated since, this includes the end of the old log: the new one may still be empty.
        """
        old, begin, words = old_log(self.log), self._log_begin, b""
        with contextlib.suppress(OSError):
            if _changed_ns(old) != self._old_log_changed_ns:
                words, begin = _end_of(old, begin), 0
            words += _end_of(self.log, begin)
        return words[-LAST_WORDS_BYTES:].decode(errors="replace")

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self._child is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal_number)

    async def stop(self) -> None:
        """Ask the process to stop, kill it after its stop timeout, and return when it has ended."""
        if not self.running:
            return
        self.send(self.command.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), self.command.stop_timeout_s)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Send SIGKILL, and return when the process has ended."""
        child = self._child  # a supervisor may start a new child during the wait
        self.send(signal.SIGKILL)
        if child is not None:
            await child.wait()

    async def spawn(self, output: IO[bytes]) -> Child:
        """Start the command, with its output in this file, in a session of its own."""
        command = self.command
        return await asyncio.create_subprocess_exec(
            *leash(command.orphan_signal, command.user),
            *command.argv,
            cwd=command.cwd,
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # else Ctrl-C would reach all children at once, in no order
        )


def old_log(log: Path) -> Path:
    """The file to which a log that has become too long is rotated."""
    return log.with_name(log.name + ".old")


def _changed_ns(file: Path) -> int:
    """When the file was last changed, in ns since the epoch; 0 if it does not exist."""
    with contextlib.suppress(OSError):
        return file.stat().st_mtime_ns
    return 0


def _end_of(log: Path, begin: int = 0) -> bytes:
    """At most the last LAST_WORDS_BYTES of a log, and nothing from before the position `begin`."""
    with log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
        return file.read()


def leash(orphan_signal: signal.Signals = signal.SIGKILL, user: str | None = None) -> list[str]:
    """A prefix for a command: the kernel sends the command this signal when we die. It can also change the user."""
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(orphan_signal)), user or "-"]


def run_to_end(argv: Sequence[str], cwd: Path, user: str | None = None) -> None:
    """Run a server's tool on a leash and wait for its end; if it fails, raises CannotStart with its output."""
    command = [*leash(user=user), *argv]
    done = subprocess.run(command, cwd=cwd, env=plain_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotStart(f"{Path(argv[0]).name} failed: {done.stdout}{done.stderr}".strip())


def identity_of(pid: int) -> Identity | None:
    """The identity of a running process; None if it has ended."""
    with contextlib.suppress(psutil.Error):
        return Identity(pid, psutil.Process(pid).create_time())
    return None


def stop_left(identities: Sequence[Identity], timeout_s: float = 10.0) -> int:
    """End the processes that a killed launcher left behind; returns how many there were."""
    left = [process for identity in identities if (process := identity.find())]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for identity in identities:
            if process := identity.find():
                with contextlib.suppress(psutil.Error):
                    end(process)
        # Not psutil's wait: it takes a zombie for a running process.
        give_up = time.monotonic() + timeout_s
        while any(identity.find() for identity in identities) and time.monotonic() < give_up:
            time.sleep(POLL_S)
    return len(left)


def plain_environment() -> dict[str, str]:
    """The servers' environment, without any variable for the machine's own Java, Postgres or Redis."""
    return {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def forget_other_programs() -> None:
    """Delete shell variables that would change our processes: libpq's, and those by which we configure a worker.

    libpq's variables (PGSSLMODE, PGSERVICE) would change every connection of this process and its children.
    """
    for name in [name for name in os.environ if name.startswith("PG") or name in OF_A_WORKER]:
        del os.environ[name]
