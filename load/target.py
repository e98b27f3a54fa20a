"""A venue on this machine as its data folder describes it (`up.json`): addresses, and processes to strike."""

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
    """What the local launcher, or a test's venue, wrote into its folder; read anew each time: pids change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def up(self) -> dict[str, Any]:
        """The content of up.json; raises OSError when nothing was ever up."""
        content: dict[str, Any] = json.loads((self.folder / STATE).read_text())
        return content

    @property
    def venue(self) -> Venue:
        """Where an outside client finds it."""
        found = self.up["addresses"]
        return Venue(found["gateway"], broker_address(found["BROKER_URL"]), found["DATABASE_URL"])

    @property
    def redis_url(self) -> str:
        return str(self.up["addresses"]["REDIS_URL"])

    def names(self, prefix: str = "") -> list[str]:
        """The processes, `matching-0` or `kafka`, that begin so."""
        return [name for name in self.up["processes"] if name.startswith(prefix)]

    def process(self, name: str) -> psutil.Process | None:
        """The living process of that name; None between two lives."""
        identity = self.up["processes"][name]
        with suppress(psutil.Error):
            process = psutil.Process(identity["pid"])
            if process.create_time() == identity["started"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def send(self, signal_number: signal.Signals, *names: str) -> int:
        """Send a signal to each that lives; to how many."""
        sent = 0
        for process in filter(None, map(self.process, names)):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal_number)
                sent += 1
        return sent
