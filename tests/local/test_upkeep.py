"""While a venue runs, the launcher bounds the logs and warns before the disk is full."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.local import upkeep as module
from app.local.process import Command, Process, plain_environment
from app.local.state import read
from app.local.upkeep import LOW_SPACE_BYTES, Upkeep
from app.local.venue import Venue
from tests.local.test_supervisor import until

LIMIT = 10_000


async def test_a_log_that_is_written_all_the_time_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writing process does not notice; its newest lines are in this file or in the old one."""
    monkeypatch.setattr(module, "MAX_LOG_BYTES", LIMIT)
    monkeypatch.setattr(module, "INTERVAL_S", 0.01)
    log = tmp_path / "logs" / "chatty.log"
    script = "i=0; while :; do i=$((i+1)); echo line $i of many; sleep 0.0005; done"
    command = Command("chatty", ["/bin/sh", "-c", script], cwd=tmp_path, env=plain_environment())
    process = Process(command, log)
    await process.start()
    keeping = asyncio.create_task(Upkeep(tmp_path, lambda line: None, lambda: None).run())
    sizes = list[int]()
    old = log.with_name("chatty.log.old")

    def has_rotated_twice() -> bool:
        sizes.append(log.stat().st_size)
        falls = sum(after < before for before, after in pairwise(sizes))
        return falls >= 2

    await until(has_rotated_twice)
    assert "of many\n" in process.last_words()
    keeping.cancel()
    await process.stop()
    assert sorted(path.name for path in log.parent.iterdir()) == [log.name, old.name]
    numbers = [int(line.split()[1]) for file in (old, log) for line in file.read_text().splitlines()]
    assert numbers == sorted(numbers) and numbers[-1] - numbers[0] > len(numbers) // 2


async def test_the_last_words_outlive_a_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a process ends just after its log was rotated, we find its last words in the old log."""
    monkeypatch.setattr(module, "MAX_LOG_BYTES", 0)
    log = tmp_path / "logs" / "brief.log"
    log.parent.mkdir()
    log.write_text("an earlier process\n")
    command = Command("brief", ["/bin/sh", "-c", "echo why I end"], cwd=tmp_path, env=plain_environment())
    process = Process(command, log)
    await process.start()
    await process.wait()
    assert process.last_words() == "why I end\n"
    Upkeep(tmp_path, lambda line: None, lambda: None).bound_logs()
    assert log.read_text() == ""
    assert process.last_words() == "why I end\n"


def test_a_disk_that_fills_up_is_announced_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once when space runs low, once each time the rest has halved, and again after space was freed."""
    lines = list[str]()
    upkeep = Upkeep(tmp_path, lines.append, lambda: None)

    def lines_with(free: float) -> int:
        monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=int(free)))
        before = len(lines)
        upkeep.look_at_space()
        return len(lines) - before

    low = LOW_SPACE_BYTES
    said = [lines_with(free) for free in (low, low * 0.9, low * 0.8, low * 0.44, low * 0.4, 0, low, low * 0.9)]
    assert said == [0, 1, 0, 1, 0, 1, 0, 1]
    assert (
        lines[0] == f"WARNING: {tmp_path} has 966 MB left: free some space; once the disk is full, orders are refused"
    )


async def test_a_duty_that_fails_keeps_nobody_from_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is full, the state cannot be written; the launcher tries again the next second."""
    monkeypatch.setattr(module, "INTERVAL_S", 0.0)
    failures = list[OSError]()

    def remember() -> None:
        failures.append(OSError(os.strerror(28)))
        raise failures[-1]

    keeping = asyncio.create_task(Upkeep(tmp_path, lambda line: None, remember).run())
    await until(lambda: len(failures) > 2)
    keeping.cancel()


@pytest.mark.parametrize(("workers", "has_gateway"), [({}, False), ({"matching": 1}, False), ({"gateway": 1}, True)])
async def test_the_state_names_a_gateway_only_if_one_is_to_run(
    workers: dict[str, int], has_gateway: bool, tmp_path: Path
) -> None:
    """Commands act on the address that it names, and without a gateway its port may be another venue's."""
    Venue(tmp_path, workers)._remember()
    known = read(tmp_path)
    assert known is not None and ("gateway" in known.addresses) is has_gateway
