"""Commands without the second that a process spends on imports: one process has imported, and forks for each command.

`bin_folder()` has a `faust` and a `python` that take the arguments of the real ones. Each hands its arguments,
environment, working directory and streams to a fork of the warm process, and ends with the exit code of that.
`Warm.ask` does so from our process (tests/venues.py). Modules of ours that read the environment when they are imported,
and all that need these, are left to the fork. Tests about processes (signals, locks, what an environment lacks) start
the real programs.
"""

import ctypes
import gc
import inspect
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tests.warm_program import ask

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PACKAGES = (
    "faust.app",
    "faust.cli.faust",
    "faust.cli.worker",
    "faust.transport.drivers.aiokafka",
    "faust.web.drivers.aiohttp",
    "mode.loop",
    "aiokafka.admin",
    "aiohttp.web",
    "aiopg",
    "alembic.command",
    "hdrh.histogram",
    "msgspec",
    "orjson",
    "prometheus_client",
    "psutil",
    "pydantic",
    "redis.asyncio",
    "rocksdict",
    "structlog",
    "uvloop",
)
OURS = ("app", "agents", "tables", "web", "load")
LEFT_TO_FORKS = ("app.streaming.failpoints", "app.streaming.watchdog", "web.metrics")
"""They read the environment; remember when the process started; have figures that all who import them show."""
SCRIPTS = ("__main__", "locustfile", "migrations")
"""Parts of the names of files that programs run."""
FILE = Path(__file__).with_name("warm_program.py")
PROGRAM = '#!/bin/sh\nexec "{python}" -IS "{file}" "{address}" {name} "$@"\n'
LARGEST_REQUEST = 1 << 20
PR_SET_PDEATHSIG = 1
_running: "dict[int, Warm]" = {}


class Warm:
    """A warm process; it ends with ours."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="matchstream-warm-"))
        self._address = str(self.folder / "address")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen(64)
            self._process = subprocess.Popen(
                # Unbuffered, as the launcher starts workers: what a killed one has printed must be in its log.
                [sys.executable, "-u", "-m", "tests.warm", str(listener.fileno()), str(self.folder)],
                cwd=ROOT,
                stdin=subprocess.PIPE,  # the kernel closes it when we end
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        for name in ("faust", "python"):
            program = self.folder / name
            text = PROGRAM.format(python=sys.executable, file=FILE, address=self._address, name=name)
            program.write_text(text)
            program.chmod(0o755)

    def ask(self, argv: Sequence[str], env: Mapping[str, str], folder: Path, streams: Sequence[int]) -> socket.socket:
        """As tests.warm_program.ask."""
        return ask(self._address, argv, env, str(folder), streams)

    def stop(self) -> None:
        """End it, its forks, and remove its folder."""
        self._process.communicate()  # closes its standard input


def warm(number: int = 0) -> Warm:
    """The warm process with this number; each hashes texts in its own way, as every real process does."""
    if number not in _running:
        _running[number] = Warm()
    return _running[number]


def stop() -> None:
    """End the warm processes."""
    while _running:
        _running.popitem()[1].stop()


def bin_folder() -> Path:
    """The folder of the warm programs."""
    return warm().folder


def faust() -> Path:
    """The console script `faust`."""
    return bin_folder() / "faust"


def python() -> Path:
    """Python, for `-m MODULE …` only."""
    return bin_folder() / "python"


def serve(listener: socket.socket, folder: str) -> None:
    """Import, and fork for each request; returns in the fork, ready to run the command that sys.argv names."""
    for package in PACKAGES:
        import_module(package)
    if sys.dont_write_bytecode:  # compile our modules once, and not for each fork
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(folder) / "bytecode")
    _import_ours()
    sys.path.remove(str(ROOT))  # `-m` has put it there for us
    inspect.getmodule(sys._getframe())  # Faust asks for each agent: it remembers the files of all modules
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that pass exit codes on
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            shutil.rmtree(folder, ignore_errors=True)  # forks may be writing there
            os.killpg(0, signal.SIGKILL)
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return _become(connection)
        connection.close()


def _import_ours() -> None:
    """Import our modules, but none that needs the Faust app, which is made of what the environment says."""
    empty = ModuleType("app")
    empty.__path__ = [str(ROOT / "app")]
    missing = dict.fromkeys(LEFT_TO_FORKS, None)
    sys.modules.update({"app": empty} | missing)  # type: ignore[arg-type]
    for file in (file for package in OURS for file in sorted((ROOT / package).rglob("*.py"))):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not any(script in module for script in SCRIPTS):
            with suppress(ImportError):
                import_module(module)
    for module in ("app", *missing):
        del sys.modules[module]


def _become(connection: socket.socket) -> None:
    """Become what is asked for, in a child whose pid and exit code this process passes on."""
    raw, streams, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 3)
    while not raw.endswith(b"\n"):
        more = connection.recv(LARGEST_REQUEST)
        if not more:  # whoever asked has died
            os._exit(1)
        raw += more
    parent = os.getpid()
    if child := os.fork():
        connection.send(b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        connection.send(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    _end_with(parent)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    request = json.loads(raw)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[:] = request["argv"]  # Faust has kept the list
    first = str(BIN) if sys.argv[0] == "faust" else request["folder"]
    sys.path[:0] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _end_with(parent: int) -> None:
    """Have the kernel (Linux) kill us when this process dies, which is our parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """The warm process and, after a fork, the command that it became."""
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    if sys.argv[0] == "faust":
        sys.exit(import_module("faust.cli.faust").cli(prog_name="faust"))
    _, option, module, *arguments = sys.argv
    assert option == "-m", "only modules can be run"
    sys.argv[1:] = arguments
    if "--loop" in arguments:  # Faust looks for it when it is imported
        import_module("mode.loop").use(arguments[arguments.index("--loop") + 1])
    module = "faust.__main__" if module == "faust" else module  # runpy does not find Faust again
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
