"""Commands without the second that a process spends on imports: one process has imported, and forks for each command.

`bin_folder()` has a `faust` and a `python` that take the arguments of the real ones. Each hands its arguments,
environment, working directory and streams to a fork of the warm process, and ends with the exit code of that. Other
people's packages only are imported before: ours read the environment when they are. Tests about processes (signals,
locks, what an environment lacks) start the real programs.
"""

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
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PACKAGES = (
    "faust.cli.faust",
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
PROGRAM = '#!/bin/sh\nexec "{python}" -IS "{file}" "{address}" {name} "$@"\n'
LARGEST_REQUEST = 1 << 20


def bin_folder() -> Path:
    """The folder of the warm programs; `stop` and the end of our process end theirs, which removes it."""
    return _start()[0]


@cache
def _start() -> tuple[Path, subprocess.Popen[bytes]]:
    folder = Path(tempfile.mkdtemp(prefix="matchstream-warm-"))
    address = folder / "address"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        for name in ("faust", "python"):
            program = folder / name
            program.write_text(PROGRAM.format(python=sys.executable, file=__file__, address=address, name=name))
            program.chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(listener.fileno()), str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # the kernel closes it when we end
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    return folder, process


def stop() -> None:
    """End the warm process, if there is one."""
    if _start.cache_info().currsize:
        _, process = _start()
        process.communicate()  # closes its standard input
        _start.cache_clear()


def faust() -> Path:
    """The console script `faust`."""
    return bin_folder() / "faust"


def python() -> Path:
    """Python, for `-m MODULE …` only."""
    return bin_folder() / "python"


def ask(address: str, *argv: str) -> int:
    """Have a command run by the warm process, with our streams; its exit code."""
    request = {"argv": argv, "env": dict(os.environ), "folder": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        answer = connection.recv(16)
    return int(answer) if answer else 1


def serve(listener: socket.socket, folder: str) -> None:
    """Import, and fork for each request; returns in the fork, ready to run the command that sys.argv names."""
    for package in PACKAGES:
        import_module(package)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that pass exit codes on
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            shutil.rmtree(folder)
            os.killpg(0, signal.SIGKILL)
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            return _become(connection)
        connection.close()


def _become(connection: socket.socket) -> None:
    """Become what is asked for, in a child whose exit code this process passes on."""
    raw, streams, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 3)
    while not raw.endswith(b"\n"):
        raw += connection.recv(LARGEST_REQUEST)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        connection.send(b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
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


def main() -> None:
    """The warm process and, after a fork, the command that it became."""
    sys.path.remove(str(ROOT))  # `-m` has put it there for us
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
    if sys.argv[0] == "faust":
        sys.exit(import_module("faust.cli.faust").cli(prog_name="faust"))
    _, option, module, *arguments = sys.argv
    assert option == "-m", "only modules can be run"
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.flags.isolated:
        sys.exit(ask(*sys.argv[1:]))
    main()
