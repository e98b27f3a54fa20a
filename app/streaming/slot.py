"""Allow one live process per slot (a worker's place in its role): lock its data folder, and its name at this Kafka.

The operating system frees both locks when the process ends.
"""

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
"""The locks of this process, kept open until it ends."""


class SlotTaken(RuntimeError):
    """Another process has the slot; the message says which and what to do."""


def hold_slot(folder: Path, broker: Any, role: str, slot: int) -> None:
    """Take the slot for this process, before it joins the group; raises SlotTaken without disturbing the holder."""
    name = f"{role}-{slot}"
    try:
        _held.append(take_slot(folder))
        _held.append(take_name(f"{name} of {broker_address(broker)}"))
    except SlotTaken as taken:
        raise SlotTaken(f"the slot {name} is taken: {taken}; give this process another SLOT") from taken


def take_slot(folder: Path) -> TextIO:
    """Lock the folder until the returned file is closed; raises SlotTaken."""
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
    """Lock a name on this machine until the returned socket is closed; raises SlotTaken. Only Linux has such names.

    The folder lock is not enough: if two processes with different folders join a group under the same name, Kafka
    expels the first.
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
