"""The disk under a venue's data is full for a while: everything comes back when there is room."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.venue import Venue
from load.ledger import Ledger, Outcome
from tests.integration.conftest import judge, under_load
from tests.long import LONG
from tests.venues import running_venue

pytestmark = pytest.mark.skipif(not LONG, reason="takes a minute: in `make faults`")

ROOMY = "4g"
SPARE_KB = 64
TIMEOUT_S = 120.0


def resize(folder: Path, size: str) -> None:
    """Change the size of a file system in memory; it may not be less than what is used."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of the test's own."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOMY},mode=755", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of its own can be mounted by root only")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


async def test_everything_comes_back_when_there_is_room_again(disk: Path) -> None:
    """Kafka ends of it, more than once; the supervisor cannot even write which processes it has."""
    lines, ledger = list[str](), Ledger()

    async def heard(text: str, times: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while sum(text in line for line in lines) < times:  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.1)

    async with running_venue(disk / "data", say=lines.append) as venue:
        async with under_load(venue, ledger, rate=100, seed=29, tag="full"):
            await asyncio.sleep(2)
            resize(disk, f"{shutil.disk_usage(disk).used // 1024 + SPARE_KB}k")
            await heard("kafka ended", times=3)
        resize(disk, ROOMY)
        await _all_ready(venue)
        before = ledger.outcomes()[Outcome.OK]
        async with under_load(venue, ledger, rate=100, seed=30, tag="room"):
            await asyncio.sleep(2)
        assert ledger.outcomes()[Outcome.OK] > before
        await judge(venue, ledger)
    assert sum(line.startswith("WARNING: ") for line in lines) in (1, 2)


async def _all_ready(venue: Venue) -> None:
    """However long the pauses between starts have become."""
    async with asyncio.timeout(TIMEOUT_S):
        await venue.wait_all_ready()
