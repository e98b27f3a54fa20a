"""The supervisor restarts processes that die, until they are released."""

import asyncio
import signal
from pathlib import Path

import pytest

from app.local import supervisor as module
from app.local.process import Command, Process, plain_environment, stop_left
from app.local.supervisor import LONGEST_PAUSE_S, SAME_SENTENCES, STEADY_AFTER_S, Backoff, Supervisor, last_sentence
from app.streaming.failstop import REVOKED_CODE
from tests.until import until


def test_pauses_double_up_to_the_longest_and_a_steady_life_forgives() -> None:
    """The first restart is immediate; ten seconds is the longest pause; thirty steady seconds start over."""
    backoff = Backoff()
    pauses = [backoff.pause(lived_s=1, exit_code=70) for _ in range(8)]
    assert pauses == [0, 0.5, 1, 2, 4, 8, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert backoff.pause(STEADY_AFTER_S, exit_code=70) == 0
    assert backoff.pause(lived_s=1, exit_code=70) == 0.5


def test_who_gives_up_partitions_is_started_again_at_once() -> None:
    """Each worker that joins ends the others once; this must not delay the restart after the next real death."""
    backoff = Backoff()
    assert [backoff.pause(lived_s=1, exit_code=REVOKED_CODE) for _ in range(5)] == [0, 0, 0, 0, 0]
    assert [backoff.pause(lived_s=1, exit_code=70) for _ in range(2)] == [0, 0.5]


async def test_a_killed_process_is_started_again_with_a_new_identity(tmp_path: Path) -> None:
    """The supervisor replaces a dead process and reports the new identity to the owner of the list of pids."""
    changed, lines = asyncio.Event(), list[str]()
    process = await started(tmp_path, "sleep", "100")
    before = process.identity
    supervisor = Supervisor(lines.append, changed.set)
    supervisor.watch(process)
    await process.kill()
    await changed.wait()
    await supervisor.release()
    assert process.running and process.identity != before
    assert lines == [f"sleeper ended (signal 9), starting it again now: see {process.log}"]
    await process.stop()
    assert not process.running


async def test_a_released_process_stays_dead(tmp_path: Path) -> None:
    """The supervisor must not restart what we stop."""
    process = await started(tmp_path, "sleep", "100")
    supervisor = Supervisor(lambda line: None, lambda: None)
    supervisor.watch(process)
    await supervisor.release(process)
    await process.kill()
    assert process.exit_code == -signal.SIGKILL


async def test_a_start_that_fails_is_tried_again_until_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a file has the name of the log folder: a system error, as a full disk or too many open files would give."""
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)
    changed, lines = asyncio.Event(), list[str]()
    process = await started(tmp_path, "sleep", "100", log=tmp_path / "logs" / "sleeper.log")
    supervisor = Supervisor(lines.append, changed.set)
    supervisor.watch(process)
    (tmp_path / "logs").rename(tmp_path / "moved")
    (tmp_path / "logs").touch()
    await process.kill()
    await until(lambda: len(lines) > 3)
    (tmp_path / "logs").unlink()
    await changed.wait()
    await supervisor.release()
    assert process.running
    assert set(lines[1:]) == {
        f"sleeper cannot start ([Errno 17] File exists: '{tmp_path}/logs'), trying again in 0.01 s"
    }
    await process.stop()


async def test_what_ends_again_and_again_with_one_sentence_is_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times and offsets may differ; the alarm comes once, and not for a process with changing sentences."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.0)
    lines = list[str]()
    process = await started(
        tmp_path, "sh", "-c", "echo began; echo [$$] ending the process: gone at offset $$; exit 70"
    )
    supervisor = Supervisor(lines.append, lambda: None)
    supervisor.watch(process)
    await until(lambda: len(lines) > 3 * SAME_SENTENCES)
    await supervisor.release()
    await process.stop()
    alarms = [line for line in lines if "ALARM" in line]
    assert len(alarms) == 1
    assert alarms[0].startswith("ALARM: sleeper has ended 3 times with the same sentence: gone at offset ")
    assert lines.index(alarms[0]) == SAME_SENTENCES


@pytest.mark.parametrize(
    ("last_words", "sentence"),
    [
        ("", ""),
        ("starting\nFATAL:  could not write\n\n", "FATAL:  could not write"),
        ("[1] ending the process: the log is another\n", "the log is another"),
        (
            "ending the process: old\nx\nending the process: match_orders failed\n"
            "Traceback (most recent call last):\n  File …\nKeyError: 'A'\n",
            "match_orders failed: KeyError: 'A'",
        ),
    ],
)
def test_why_a_process_ended(last_words: str, sentence: str) -> None:
    """A worker's reason, with its exception if there was one; a server's last line."""
    assert last_sentence(last_words) == sentence


async def test_a_process_that_ignores_the_stop_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    """No process may block a stop forever."""
    script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    process = await started(tmp_path, "sh", "-c", script, stop_timeout_s=0.2)
    await until(lambda: b"deaf" in process.log.read_bytes())
    await process.stop()
    assert process.exit_code == -signal.SIGKILL


async def test_a_process_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    """We must not end another program that has got the pid since."""
    process = await started(tmp_path, "sleep", "100")
    assert process.identity is not None
    stranger = type(process.identity)(process.identity.pid, process.identity.started - 1)
    assert stop_left([stranger]) == 0 and process.running
    assert await asyncio.to_thread(stop_left, [process.identity]) == 1
    await process.wait()
    assert process.identity.find() is None


async def started(
    folder: Path, program: str, *arguments: str, stop_timeout_s: float = 10, log: Path | None = None
) -> Process:
    """A running process of this program."""
    argv = [f"/bin/{program}", *arguments]
    command = Command("sleeper", argv, cwd=folder, env=plain_environment(), stop_timeout_s=stop_timeout_s)
    process = Process(command, log or folder / "sleeper.log")
    await process.start()
    return process
