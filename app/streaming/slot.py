"""One live process for each slot: a lock on its data folder and on its name at this Kafka, freed with the process."""

import errno
import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import Any, TextIO

from app.configuration import broker_address

LOCK = "slot.lock"
_held: list[Any] = []
"""What this process has locked as long as it lives."""


class SlotTaken(RuntimeError):
    """Another process has the slot; the message says which and what to do."""


def hold_slot(folder: Path, broker: Any, role: str, slot: int) -> None:
    """Take the slot for this process; raises SlotTaken before anything disturbs the process that has it."""
    name = f"{role}-{slot}"
    try:
        _held.append(take_slot(folder))
        _held.append(take_name(f"{name} of {broker_address(broker)}"))
    except SlotTaken as taken:
        raise SlotTaken(f"the slot {name} is taken: {taken}; give this process another SLOT") from taken


def take_slot(folder: Path) -> TextIO:
    """Lock the folder for this process, as long as the answer is open; raises SlotTaken."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise SlotTaken(f"the process {holder} uses {folder}") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def take_name(name: str) -> socket.socket | None:
    """Take a name on this machine, as long as the answer is open; raises SlotTaken. Only Linux has such names.

    Kafka gives a name in a group to the process that comes last, whatever its folder, and ends the one before.
    """
    if sys.platform != "linux":
        return None
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0matchstream {name}")
    except OSError as error:
        lock.close()
        if error.errno == errno.EADDRINUSE:
            raise SlotTaken(f"another process of this machine is {name}") from None
        raise
    return lock
