"""Where a command finds its venue: all of it in one place, and never a part here and a part there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.addresses import GATEWAY, KINDS, LOCK, STATE, Addresses, NoAddress, find, without_password
from app.configuration import Settings, WrongSetting, load
from app.local import state

ROOT = Path(__file__).parents[2]
HERE = {
    "BROKER_URL": "kafka://127.0.0.1:20001",
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:20002/matchstream",
    "REDIS_URL": "redis://127.0.0.1:20003/0",
    "MATCHSTREAM_URL": "http://127.0.0.1:20004",
}
ELSEWHERE = {name: address.replace("127.0.0.1", "10.0.0.1") for name, address in HERE.items()}
CONFIGURED = {"BROKER_URL": "kafka://configured:9092", "MATCHSTREAM_URL": GATEWAY}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a venue that ran in the working directory; nothing runs there now."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".matchstream"
    state.acquire(folder).close()
    return folder


@pytest.fixture
def running(folder: Path) -> Iterator[Path]:
    """The same folder while the launcher has it."""
    with state.acquire(folder):
        addresses = {name: HERE[name] for name in HERE if name != "MATCHSTREAM_URL"} | {"gateway": GATEWAY_HERE}
        state.write(folder, addresses, [], {"gateway-0": 20004, "gateway-1": 20005, "kafka": 20001}, ready=True)
        yield folder


GATEWAY_HERE = HERE["MATCHSTREAM_URL"]


def found(**environment: str) -> Addresses:
    """What is found in the working directory with this environment."""
    return find(Settings(), {"broker": CONFIGURED["BROKER_URL"]}, environment)


def test_the_venue_that_runs_in_the_folder_is_found(running: Path) -> None:
    """Every part, and it is named."""
    assert found().parts == HERE
    assert found().text("MATCHSTREAM_URL") == f"gateway {GATEWAY_HERE} (the venue in {running})"
    assert found().folder == running


def test_another_folder_can_be_named(running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever the command is typed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert found().parts.items() >= CONFIGURED.items()
    assert found(MATCHSTREAM_VENUE=str(running)).parts == HERE


@pytest.mark.parametrize("names", [list(HERE), ["BROKER_URL"], ["BROKER_URL", "DATABASE_URL"]], ids=len)
def test_given_addresses_win_and_the_folders_do_not_fill_up(running: Path, names: list[str]) -> None:
    """Kafka of one venue and the gateway of another would look like one."""
    given = {name: ELSEWHERE[name] for name in names}
    addresses = found(**given)
    assert (addresses.parts, addresses.folder) == (given, None)
    for name in KINDS:
        if name not in names:
            sentence = f"the address of Kafka (BROKER_URL) is given and that of {KINDS[name]} ({name}) is not"
            with pytest.raises(NoAddress, match=sentence.replace("(", r"\(").replace(")", r"\)")):
                addresses.need(name)


@pytest.mark.parametrize(
    "given",
    [
        {"BROKER_URL": HERE["BROKER_URL"]},
        {"MATCHSTREAM_URL": "http://localhost:20005/"},
        {"DATABASE_URL": "", "REDIS_URL": HERE["REDIS_URL"]},
    ],
    ids=lambda given: "+".join(given),
)
def test_an_address_of_the_folders_venue_brings_the_others(running: Path, given: Mapping[str, str]) -> None:
    """It is no mixture: any of its gateways, an empty variable is none."""
    assert found(**given).parts == HERE | {name: address for name, address in given.items() if address}


def test_a_venue_that_does_not_run_is_not_replaced_by_a_neighbours(folder: Path) -> None:
    """Which would have the usual ports."""
    for addresses in (found(), found(MATCHSTREAM_VENUE=str(folder / "none"))):
        with pytest.raises(NoAddress, match="is not running: start it with `make run`"):
            addresses.need("MATCHSTREAM_URL")


def test_what_a_killed_launcher_left_is_no_venue(folder: Path) -> None:
    """Its ports may be somebody else's by now."""
    (folder / STATE).write_text(json.dumps({"addresses": HERE, "ports": {}}))
    assert (folder / LOCK).exists()
    with pytest.raises(NoAddress, match="is not running"):
        found().need("BROKER_URL")


def test_a_venue_without_workers_has_no_gateway(folder: Path) -> None:
    """With `up --no-workers` another venue's gateway may have its port, and would take the command."""
    servers = {name: HERE[name] for name in HERE if name != "MATCHSTREAM_URL"}
    with state.acquire(folder):
        state.write(folder, servers, [], {"gateway-0": 20004, "kafka": 20001}, ready=True)
        assert (found().parts, found().folder) == (servers, folder)
        with pytest.raises(NoAddress, match=r"runs without its gateway \(MATCHSTREAM_URL\): stop it, and start it"):
            found().need("MATCHSTREAM_URL")
        assert found(MATCHSTREAM_URL=ELSEWHERE["MATCHSTREAM_URL"]).gateway == ELSEWHERE["MATCHSTREAM_URL"]


def test_without_a_folder_the_settings_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container; a settings file of one's own is complete, and beats the folder."""
    monkeypatch.chdir(tmp_path)
    assert found().parts.items() >= CONFIGURED.items()
    state.acquire(tmp_path / ".matchstream").close()
    own = found(FAUST_CONF="/etc/faust.conf.py", REDIS_URL="redis://other:6379/0")
    assert own.parts == {**found(FAUST_CONF="/etc/faust.conf.py").parts, "REDIS_URL": "redis://other:6379/0"}


def test_no_password_is_shown() -> None:
    """Neither in the part before the host nor in a query."""
    shown = without_password("postgresql://me:secret@db:5432/matchstream?password=secret")
    assert shown == "postgresql://me@db:5432/matchstream"


REFUSED = [
    ("BROKER_URL", ""),
    ("BROKER_URL", "kafka+ssl://kafka:9093"),
    ("BROKER_URL", "kafka://me:secret@kafka:9092"),
    ("BROKER_URL", "kafka://one:9092;kafka+ssl://two:9093"),
    ("BROKER_URL", "kafka://kafka:9092?password=secret"),
    ("BROKER_URL", "me:secret@kafka:9092"),
    ("BROKER_URL", "kafka:9092"),
    ("BROKER_URL", "kafka://[::1"),
    ("BROKER_URL", "kafka://kafka:port"),
    ("BROKER_URL", "kafka://kafka:99999"),
    ("BROKER_URL", "kafka:// kafka:9092"),
    ("BROKER_CREDENTIALS", "sasl_plain://me:secret"),
    ("BROKER_CONSUMER_URL", "kafka+ssl://me:secret@kafka:9092"),
    ("DATABASE_URL", "mysql://me:secret@db/matchstream"),
    ("DATABASE_URL", "me:secret@db/matchstream"),
    ("DATABASE_URL", "postgresql://me:secret%@db/matchstream"),
    ("DATABASE_URL", "postgresql://me:secret@db:port/matchstream"),
    ("REDIS_URL", "valkey:secret"),
    ("REDIS_URL", "redis://:secret@valkey:6379/first"),
]


@pytest.mark.parametrize(("name", "address"), REFUSED, ids=[address for _, address in REFUSED])
def test_an_address_that_cannot_be_used_is_refused(name: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS and passwords to Kafka, which no client of ours would use; the password is not repeated."""
    monkeypatch.setenv(name, address)
    with pytest.raises(WrongSetting) as refused:
        load()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:8080", "ftp://a", "http://", "http://[::1", "http://a:99999"])
def test_a_gateway_has_an_http_address(url: str, running: Path) -> None:
    """A wrong `--url` was a traceback, or `watch` tried to connect to it again and again."""
    with pytest.raises(WrongSetting, match="must be http://HOST:PORT"):
        found(MATCHSTREAM_URL=url)


@pytest.mark.parametrize(
    "broker", ["kafka://kafka:9092", "kafka://one:9092;kafka://two:9092", "aiokafka://kafka"], ids=str
)
def test_plain_addresses_are_taken(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a password where one may be."""
    monkeypatch.setenv("BROKER_URL", broker)
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:s%40cret@db:5432/matchstream?sslmode=verify-full")
    monkeypatch.setenv("REDIS_URL", "rediss://:secret@valkey:6380/1")
    assert load()[0].redis_url == "rediss://:secret@valkey:6380/1"


@pytest.mark.parametrize(
    "program", ["faust -A app worker -l info", "faust -A app verify", "app up", "app setup", "load"]
)
def test_every_entry_point_refuses_in_one_sentence(program: str, tmp_path: Path) -> None:
    """Before it speaks to anybody."""
    env = os.environ | {"BROKER_URL": "kafka+ssl://me:secret@127.0.0.1:1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *program.split()]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: broker (BROKER_URL) must be kafka://HOST:PORT, or several separated by ';': "
        "Matchstream connects to Kafka without TLS and password\n"
    )


def test_a_password_of_postgres_is_in_no_output(tmp_path: Path) -> None:
    """Also when Postgres is not there."""
    given = {"BROKER_URL": "kafka://127.0.0.1:1", "DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/matchstream"}
    command = [sys.executable, "-m", "faust", "-A", "app", "verify"]
    env = os.environ | given | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Postgres postgresql://me@127.0.0.1:1/matchstream (as given)" in done.stderr
    assert "secret" not in done.stdout + done.stderr
