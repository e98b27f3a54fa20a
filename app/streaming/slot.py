"""One live process for each slot: an exclusive lock on the slot's data folder, which ends with the process."""

import fcntl
import os
from pathlib import Path
from typing import TextIO

LOCK = "slot.lock"


class SlotTaken(RuntimeError):
    """Another process has the folder; the message says which."""


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
