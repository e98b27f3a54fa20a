"""A venue of our own: runs the local launcher as a subprocess in a folder, and stops or kills it on request."""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import psutil

from load.target import Target

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 180.0  # the first start on a machine downloads Kafka
STOP_TIMEOUT_S = 60.0
GONE_TIMEOUT_S = 20.0
VERIFY_TIMEOUT_S = 300.0
POLL_S = 0.1


class NotUp(TimeoutError):
    """The venue did not start or end in time; the message says what to look at."""


class OwnVenue(Target):
    """`python -m app up` in a folder; can be started again after a stop or a kill."""

    def __init__(self, folder: Path, matching: int = 1) -> None:
        super().__init__(folder)
        self._matching = matching
        self._launcher: asyncio.subprocess.Process | None = None

    async def start(self, workers: bool = True) -> None:
        """Start servers and workers, or only the servers; raises NotUp."""
        which = ["--workers", f"matching={self._matching}"] if workers else ["--no-workers"]
        argv = [sys.executable, "-m", "app", "up", "--data", str(self.folder), *which]
        self._launcher = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=DEVNULL, stderr=DEVNULL)
        give_up = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready(self._launcher.pid):
            if self._launcher.returncode is not None or time.monotonic() > give_up:
                raise NotUp(f"the venue did not start: see {self.folder / 'logs'}")
            await asyncio.sleep(POLL_S)

    async def verified(self) -> dict[str, Any]:
        """The JSON verdict of `faust -A app verify --naive` on the venue."""
        argv = [sys.executable, "-m", "faust", "-A", "app", "verify", "--naive", "--json"]
        env = {**os.environ, **{k: v for k, v in self.up["addresses"].items() if k.isupper()}}
        verifier = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=env, stdout=PIPE, stderr=PIPE)
        output, complaint = await asyncio.wait_for(verifier.communicate(), VERIFY_TIMEOUT_S)
        try:
            found: dict[str, Any] = json.loads(output)
        except ValueError:
            return {"right": False, "first": complaint.decode(errors="replace").strip()[-300:]}
        return found

    async def kill(self) -> None:
        """Send SIGKILL to the launcher; the kernel then kills its children, so no process can clean up."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the venue to stop, and kill it if it does not in time."""
        try:
            await self._end(signal.SIGTERM)
        except NotUp:
            await self._end(signal.SIGKILL)

    async def _end(self, signal_number: signal.Signals) -> None:
        if self._launcher is None:
            return
        left = list(filter(None, map(self.process, self.names()))) if (self.folder / "up.json").exists() else []
        with suppress(ProcessLookupError):
            self._launcher.send_signal(signal_number)
        try:
            await asyncio.wait_for(self._launcher.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            raise NotUp(f"the venue's launcher (pid {self._launcher.pid}) did not end in time") from None
        _, living = await asyncio.to_thread(psutil.wait_procs, left, GONE_TIMEOUT_S)
        if living:
            raise NotUp(f"processes of the venue did not end in time: {living}")
        self._launcher = None

    def _is_ready(self, launcher: int) -> bool:
        try:
            up: dict[str, Any] = self.up
        except (OSError, ValueError):
            return False
        return bool(up["ready"]) and up["launcher"]["pid"] == launcher
