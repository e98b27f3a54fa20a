"""Addresses and processes of a venue on this machine, read from its `up.json`, for causing faults in it."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from app.addresses import STATE
from app.configuration import broker_address
from load.run import Venue


class Target:
    """Reads the `up.json` of a launcher's or a test's venue; at every access, because pids change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def up(self) -> dict[str, Any]:
        """The content of up.json; raises OSError if no venue ever ran in the folder."""
        content: dict[str, Any] = json.loads((self.folder / STATE).read_text())
        return content

    @property
    def venue(self) -> Venue:
        """The venue's addresses for an outside client."""
        found = self.up["addresses"]
        return Venue(found["gateway"], broker_address(found["BROKER_URL"]), found["DATABASE_URL"])

    @property
    def redis_url(self) -> str:
        return str(self.up["addresses"]["REDIS_URL"])

    def names(self, prefix: str = "") -> list[str]:
        """The names of processes that begin with `prefix`, such as `matching-0` or `kafka`."""
        return [name for name in self.up["processes"] if name.startswith(prefix)]

    def process(self, name: str) -> psutil.Process | None:
        """The running process of this name; None if it has ended and not been restarted yet."""
        identity = self.up["processes"][name]
        with suppress(psutil.Error):
            process = psutil.Process(identity["pid"])
            if process.create_time() == identity["started"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def send(self, signal_number: signal.Signals, *names: str) -> int:
        """Send a signal to each of these processes that is running; returns to how many."""
        sent = 0
        for process in filter(None, map(self.process, names)):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal_number)
                sent += 1
        return sent
