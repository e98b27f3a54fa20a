"""The launcher's files in a data folder: its lock, and `up.json`, which describes the venue to CLI, tests and demo."""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from app.addresses import LOCK
from app.addresses import STATE as STATE
from app.local.problems import CannotStart
from app.local.process import Identity, Process, identity_of


class AlreadyUp(CannotStart):
    """Another launcher has locked this data folder."""


class ForeignFolder(CannotStart):
    """The folder holds files that are not Matchstream's, so we neither use nor remove it."""


class UnusableFolder(CannotStart):
    """The system does not let us create or write the folder."""


@dataclass(frozen=True)
class State:
    """The content of up.json."""

    launcher: Identity
    addresses: dict[str, str]
    processes: dict[str, Identity]
    ports: dict[str, int]
    ready: bool


def acquire(folder: Path) -> IO[str]:
    """Create the folder if it is missing and take its lock, which the kernel frees when this process ends.

    Raises AlreadyUp, ForeignFolder, UnusableFolder.
    """
    if not str(folder).isprintable():  # a line break would break postmaster.pid, and Java cannot read non-text bytes
        raise UnusableFolder(
            f"{str(folder)!r} cannot be the data folder (control characters): choose another with --data."
        )
    if folder.is_dir() and any(folder.iterdir()) and not is_ours(folder):
        raise ForeignFolder(f"{folder} has other files in it: choose another folder with --data.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as error:
        sentence = f"{folder} cannot be the data folder ({error.strerror}): choose another with --data."
        raise UnusableFolder(sentence) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AlreadyUp(f"Matchstream already runs in {folder}: `python -m app down` stops it.") from None
    return lock


def is_ours(folder: Path) -> bool:
    """Whether a venue was ever started in this folder."""
    return (folder / LOCK).exists()


def is_up(folder: Path) -> bool:
    """Whether a launcher runs in this folder now."""
    if not is_ours(folder):
        return False
    try:
        acquire(folder).close()
    except AlreadyUp:
        return True
    return False


def write(
    folder: Path, addresses: Mapping[str, str], processes: Iterable[Process], ports: Mapping[str, int], ready: bool
) -> None:
    """Replace up.json in one step."""
    launcher = identity_of(os.getpid())
    assert launcher is not None
    identities = {p.command.name: p.identity for p in processes if p.identity}
    state = State(launcher, dict(addresses), identities, dict(ports), ready)
    new = folder / f"{STATE}.new"
    new.write_text(json.dumps(asdict(state), indent=2) + "\n")
    new.replace(folder / STATE)


def read(folder: Path) -> State | None:
    """The state that the last launcher wrote; None if the file is missing or unreadable."""
    try:
        fields: dict[str, Any] = json.loads((folder / STATE).read_text())
        fields["launcher"] = Identity(**fields["launcher"])
        fields["processes"] = {name: Identity(**identity) for name, identity in fields["processes"].items()}
        return State(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None
