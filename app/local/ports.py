"""Which port each part listens on: the usual one if free, else a free one; remembered in the data folder."""

import json
import random
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from app.local.problems import CannotStart

HOST = "127.0.0.1"
FILE = "ports.json"

USUAL = {"kafka": 9092, "kafka-controller": 9093, "postgres": 5432, "valkey": 6379}
USUAL_OF_ROLE = {
    "gateway": 8080,
    "matching": 8100,
    "recording": 8200,
    "clearing": 8300,
    "analytics": 8400,
    "audit": 8500,
}
"""The web port of a role's slot 0; slot n adds n to it."""

FREE_PORTS = range(20_000, 32_000)
"""Below Linux's range for outgoing connections, so that no connection can take a port before a restart."""

FREED_WITHIN_S = 2.0


class BusyPort(CannotStart):
    """A given or remembered port is taken; the message names the part that needs it and what to do."""


@dataclass
class Ports:
    """The ports of one data folder. `usual=False` avoids the usual ports, for tests beside a running venue."""

    folder: Path
    usual: bool = True
    claimed: dict[str, int] = field(default_factory=dict)
    """Part (`kafka`, `matching-1`) -> the port that this process's venue uses."""

    def __post_init__(self) -> None:
        file = self.folder / FILE
        self._remembered: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, name: str, wanted: int | None = None) -> int:
        """The port of a part; raises BusyPort if another program has the wanted or remembered one."""
        if name not in self.claimed:
            self.claimed[name] = self._claim(name, wanted)
            self._remembered |= self.claimed
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / FILE).write_text(json.dumps(self._remembered, indent=2) + "\n")
        return self.claimed[name]

    def _claim(self, name: str, wanted: int | None) -> int:
        port = wanted or self._remembered.get(name)
        if port is None:
            return self._choose(name)
        if not _becomes_free(port):
            raise BusyPort(self._busy(name, port, bool(wanted)))
        return port

    def _choose(self, name: str) -> int:
        usual = usual_port(name)
        taken = set(self._remembered.values())
        if self.usual and usual and usual not in taken and is_free(usual):
            return usual
        return next(p for p in iter(lambda: random.choice(FREE_PORTS), None) if p not in taken and is_free(p))

    def _busy(self, name: str, port: int, wanted: bool) -> str:
        remedy = "choose another with --port" if wanted else f"delete {self.folder / FILE} to have new ports chosen"
        return f"Port {port} ({name}) is used by another program: stop that program, or {remedy}."


def usual_port(name: str) -> int | None:
    """The port where people expect this part; None if there is no usual one."""
    role, _, slot = name.partition("-")
    if role in USUAL_OF_ROLE:
        return USUAL_OF_ROLE[role] + int(slot or 0)
    return USUAL.get(name)


def _becomes_free(port: int) -> bool:
    """Wait for the port: a program that was just killed holds it for another moment."""
    give_up = time.monotonic() + FREED_WITHIN_S
    while not (free := is_free(port)) and time.monotonic() < give_up:
        time.sleep(0.05)
    return free


def is_free(port: int) -> bool:
    """Whether this process could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
