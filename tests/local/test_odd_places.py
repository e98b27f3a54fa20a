"""The servers start wherever the checkout is: in a path with any character, below folders that only root may enter."""

import asyncio
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from app.local import postgres
from app.local.ports import HOST
from app.local.servers import Servers, running_servers
from app.postgres import schema

ODD = 'ü $HOME `id` %41 #1 \\u0041 it\'s "a" {b}, c;d=e: 日本 & more'
"""Characters that are special to a shell, to Java's properties, to Postgres, Valkey, Faust or in a URL."""


@pytest.fixture(scope="module")
async def odd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Servers in a folder with these characters, below one that only its owner may enter."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    folder = private / ODD / "data"
    async with running_servers(folder) as servers:
        yield servers


async def test_everything_is_inside_a_folder_with_an_odd_name(odd: Servers) -> None:
    """Kafka would write to another folder: its settings file has another syntax and character set."""
    kept = {path.relative_to(odd.folder).parts[0] for path in odd.folder.rglob("*")}
    assert kept == {"kafka", "logs", "ports.json", "postgres", "valkey"}
    assert (odd.folder / "kafka" / "data" / "meta.properties").exists()
    assert (odd.folder / "postgres" / "PG_VERSION").exists()
    assert list((odd.folder / "valkey" / "appendonlydir").iterdir())
    assert [path.name for path in odd.folder.parents[1].iterdir()] == [ODD]


async def test_folders_that_are_not_ours_keep_their_permissions(odd: Servers) -> None:
    """As root, Postgres runs as another user; it gets its own folder and nothing else."""
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (odd.folder.parents[1], odd.folder)]
    assert modes[0] == 0o700
    if os.geteuid() == 0:
        assert (odd.folder / "postgres").owner() == postgres.USER_WHEN_ROOT
        assert odd.folder.owner() == "root"


async def test_the_schema_is_made_from_a_folder_with_an_odd_name(
    odd: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alembic would take a percent sign for the beginning of a variable name."""
    copy = tmp_path / ODD / "migrations"
    shutil.copytree(schema.MIGRATIONS, copy)
    monkeypatch.setattr(schema, "MIGRATIONS", copy)
    await asyncio.to_thread(schema.migrate, odd.database_url)


async def test_a_start_right_after_a_kill_waits_for_what_is_still_there(odd: Servers) -> None:
    """Something holds shared memory, a lock and a port, and releases each when the server has failed on it once."""
    backends = psutil.Process(odd.processes["postgres"].identity.pid).children()
    for backend in backends:
        backend.suspend()
    await asyncio.gather(*(process.kill() for process in odd.processes.values()))
    with socket.create_server((HOST, odd.valkey_port)) as port, (odd.folder / "kafka/data/.lock").open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        starting = asyncio.create_task(odd.start())
        await asyncio.gather(
            _release(odd, "postgres", "pre-existing shared memory", *(backend.kill for backend in backends)),
            _release(odd, "kafka", "Failed to acquire lock", lock.close),
            _release(odd, "valkey", "Address already in use", port.close),
        )
        await starting


async def _release(servers: Servers, name: str, words: str, *let_go: Callable[[], None]) -> None:
    log = servers.folder / "logs" / f"{name}.log"
    async with asyncio.timeout(60):
        while words not in log.read_text():  # noqa: ASYNC110 - a file tells nobody when it grows
            await asyncio.sleep(0.05)
    for each in let_go:
        each()


def test_a_lock_of_a_process_that_nobody_reaps_is_removed(tmp_path: Path) -> None:
    """If a container's first process reaps no zombies, a killed postmaster's pid stays taken."""
    lock = tmp_path / "postmaster.pid"
    zombie = subprocess.Popen(["/bin/true"])
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    lock.write_text(f"{zombie.pid}\n")
    postgres._remove_stale_lock(tmp_path)
    assert not lock.exists()
    zombie.wait()


def test_a_lock_of_another_program_is_removed_and_of_a_live_postmaster_kept(tmp_path: Path) -> None:
    """We tell them apart by working directory: a postmaster changes into its data folder."""
    lock = tmp_path / "postmaster.pid"
    for folder, is_kept in ((tmp_path, True), (Path("/"), False)):
        with subprocess.Popen(["/bin/sleep", "100"], cwd=folder) as program:
            lock.write_text(f"{program.pid}\n")
            postgres._remove_stale_lock(tmp_path)
            assert lock.exists() == is_kept
            program.kill()


def let_others_pass(folder: Path) -> None:
    """Let everyone enter pytest's folders down to this one; the system's folders already allow it."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.geteuid() and not stat.S_IMODE(each.stat().st_mode) & 0o005:
            each.chmod(0o755)


def install(monkeypatch: pytest.MonkeyPatch, site: Path) -> None:
    """Pretend that the package with the binaries is installed there."""
    for folder in (postgres.BINARIES_IN_SITE.parent, postgres.LIBRARIES_IN_SITE):
        shutil.copytree(postgres.SITE / folder, site / folder, symlinks=True)
    monkeypatch.setattr(postgres, "SITE", site)
    monkeypatch.setattr(postgres, "BINARIES", site / postgres.BINARIES_IN_SITE)


def test_binaries_whose_path_initdb_cannot_quote_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the Python environment has the odd path; the copy in the user's cache can create a cluster."""
    install(monkeypatch, tmp_path / "$HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(postgres, "BINARIES_WHEN_ROOT", tmp_path / "cache" / "matchstream")
    let_others_pass(tmp_path)
    command = postgres.prepare(tmp_path / "postgres", 1)
    assert Path(command.argv[0]).is_relative_to(tmp_path / "cache")
    assert (tmp_path / "postgres" / "PG_VERSION").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to let another user in")
def test_binaries_that_only_root_may_read_are_copied_for_postgres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation with umask 077 has such binaries; we copy them once and do not change the environment."""
    site = tmp_path / "site"
    install(monkeypatch, site)
    for path in (site, *site.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    let_others_pass(tmp_path)
    monkeypatch.setattr(postgres, "BINARIES_WHEN_ROOT", tmp_path / "kept")
    old = os.umask(0o077)
    try:
        found = postgres._binaries_for(postgres.USER_WHEN_ROOT)
    finally:
        os.umask(old)
    assert found.is_relative_to(tmp_path / "kept")
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in site.rglob("*")} == {0}
    made = found.stat().st_mtime_ns
    assert postgres._binaries_for(postgres.USER_WHEN_ROOT).stat().st_mtime_ns == made
