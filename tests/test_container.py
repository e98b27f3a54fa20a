"""The image and docker-compose.yml, compared with what the local launcher runs: two ways to start must not drift."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.configuration import ROLES
from app.local import jars, kafka, postgres, valkey
from app.local.ports import Ports, usual_port
from app.local.venue import Venue

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: service for name, service in SERVICES.items() if "ROLE" in service.get("environment", {})}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
COPIED = [arguments.split()[0] for instruction, arguments in INSTRUCTIONS if instruction == "COPY"]
IMAGE_ENV = dict(
    pair.split("=", 1) for instruction, arguments in INSTRUCTIONS if instruction == "ENV" for pair in arguments.split()
)
SHOW_SETTINGS = """
import json
from app import app, settings, where
from app.configuration import Settings
ours = {name.upper(): getattr(settings, name) for name in Settings.model_fields}
fausts = {s.env_name: getattr(app.conf, name) for name, s in app.conf.SETTINGS.items() if s.env_name in ENVIRONMENT}
fausts["BROKER_URL"] = app.conf.broker[0]
fausts["MATCHSTREAM_URL"] = where.gateway
texts = {name: f"{v:g}" if isinstance(v, float) else str(v).lower() for name, v in (ours | fausts).items()}
print(json.dumps(texts))
"""
PYTHONS_OWN = {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the image has, in a folder: what is copied, without what .dockerignore keeps out."""
    folder = tmp_path_factory.mktemp("image")
    ignored = shutil.ignore_patterns("__pycache__", "local")
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def run(image: Path, service: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the image's folder, with the environment of a container."""
    env = {"PATH": os.environ["PATH"], **IMAGE_ENV, **service["environment"]}
    return subprocess.run([sys.executable, *arguments], cwd=image, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("role", ROLES)
def test_there_is_a_service_for_each_role(role: str) -> None:
    """A role without a process is a venue that accepts and never matches, or matches and never records."""
    assert role in {service["environment"]["ROLE"] for service in WORKERS.values()}


@pytest.mark.parametrize("name", WORKERS)
def test_a_container_gets_the_variables_that_the_launcher_gives_a_worker(name: str, tmp_path: Path) -> None:
    """A variable that one forgets falls back to this machine's address, which is nobody in a container."""
    service = WORKERS[name]
    venue = Venue(tmp_path, ports=Ports(tmp_path, usual=False))
    local = venue.servers.env | venue.worker_env(service["environment"]["ROLE"])
    assert local.keys() - (IMAGE_ENV | service["environment"]).keys() == set()


@pytest.mark.parametrize("name", WORKERS)
def test_the_application_takes_every_variable_of_a_container(name: str, image: Path) -> None:
    """Faust ignores a misspelt variable silently: what was meant must be what it then has."""
    given = IMAGE_ENV | WORKERS[name]["environment"]
    meant = {variable: value.lower() for variable, value in given.items() if variable not in PYTHONS_OWN}
    shown = run(image, WORKERS[name], "-c", SHOW_SETTINGS.replace("ENVIRONMENT", repr(set(meant))))
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert {variable: found.get(variable) for variable in meant} == meant


def test_no_two_workers_share_a_slot_a_port_a_name_or_a_disk() -> None:
    """Kafka would take two of a slot for one and fence the first; a shared disk mixes their tables."""
    of_each = [service["environment"] for service in WORKERS.values()]
    assert len({(env["ROLE"], env["SLOT"]) for env in of_each}) == len(WORKERS)
    assert len({env["WEB_PORT"] for env in of_each}) == len(WORKERS)
    volumes = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert len({name for name, _ in volumes}) == len(volumes)
    assert {name for name, _ in volumes} == COMPOSE["volumes"].keys()
    assert {path for name, path in volumes if name in WORKERS} == {IMAGE_ENV["APP_DATADIR"]}


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_name_and_port_follow_from_its_slot(name: str) -> None:
    """Two containers of one slot would fence each other, so no service is scaled."""
    service = WORKERS[name]
    env = service["environment"]
    assert name == service["hostname"] == f"{env['ROLE']}-{env['SLOT']}"
    assert env["WEB_PORT"] == str(usual_port(name))
    assert "deploy" not in service and "scale" not in service


def test_only_the_gateway_is_published_and_only_on_this_machine() -> None:
    """The servers trust whoever reaches them, and a gateway without keys must not face a network."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway-0": ["127.0.0.1:8080:8080"]}


def test_the_image_alone_starts_no_open_gateway(image: Path) -> None:
    """It listens to all, so it wants keys; the composed one says that no keys are meant, being published here only."""
    check = "from web.edge.exposure import check_exposure; check_exposure()"
    composed = SERVICES["gateway-0"]
    plain = {name: value for name, value in composed["environment"].items() if not name.startswith(("AUTH", "RATE"))}
    codes = [
        run(image, {"environment": environment}, "-c", check).returncode
        for environment in (composed["environment"], plain, plain | {"AUTH": "keys"})
    ]
    assert codes == [0, 70, 0]


def test_kafka_has_the_launchers_settings() -> None:
    """One broker cannot replicate, a topic made by a slip lacks its settings, a rebalance must not wait for others."""
    environment = SERVICES["kafka"]["environment"]
    of_launcher = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in kafka.SETTINGS.items()}
    assert environment == environment | of_launcher
    assert environment["KAFKA_HEAP_OPTS"] == f"-Xmx{kafka.HEAP}"


def test_the_servers_have_the_launchers_versions() -> None:
    """What is tested here is what runs there."""
    images = {name: SERVICES[name]["image"] for name in ("kafka", "postgres", "valkey")}
    assert images == {
        "kafka": f"apache/kafka:{jars.VERSION}",
        "postgres": f"postgres:{postgres.MAJOR_VERSION}",
        "valkey": f"valkey/valkey:{valkey.MAJOR_VERSION}",
    }


def test_valkey_keeps_its_keys_as_the_launchers_does(tmp_path: Path) -> None:
    """Idempotency keys that a restart forgets cost the engine a look into its own table."""
    local = valkey.prepare(tmp_path, 6379).argv
    pairs = dict(zip(local[1::2], local[2::2], strict=True))
    _, *given = SERVICES["valkey"]["command"]
    assert dict(zip(given[::2], given[1::2], strict=True)).items() <= pairs.items()


def test_every_server_and_worker_says_whether_it_is_healthy() -> None:
    """`setup` waits for the servers' health, workers wait for `setup`: else they start against nothing."""
    assert [instruction for instruction, _ in INSTRUCTIONS if instruction == "HEALTHCHECK"], "the workers' check"
    servers = SERVICES.keys() - WORKERS.keys() - {"setup"}
    assert servers == {"kafka", "postgres", "valkey"}
    for name in servers:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES["setup"]["depends_on"] == {name: {"condition": "service_healthy"} for name in servers}
    for worker in WORKERS.values():
        assert worker["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
        assert worker["restart"] == "unless-stopped"  # fail-stop counts on a restart
        assert worker["image"] == SERVICES["setup"]["image"]


def test_the_image_has_the_wheels_packages_and_the_settings() -> None:
    """A package that is not copied is an import error in a container only."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(COPIED) == sorted([*wheel["packages"], *wheel["force-include"], "requirements/app.txt"])
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == set(COPIED)
    assert all((ROOT / name).exists() for name in COPIED)


def test_the_image_installs_every_dependency_pinned() -> None:
    """pip is told to take nothing but the file's lines, so the file must have all that the project asks for."""
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "app.txt").read_text(), re.MULTILINE))
    asked = {re.split(r"[\[=<>~]", wanted)[0] for wanted in PROJECT["project"]["dependencies"]}
    assert asked - pinned == set()
    install = next(arguments for instruction, arguments in INSTRUCTIONS if instruction == "RUN")
    assert "--require-hashes --no-deps -r requirements/app.txt" in install


def test_the_image_has_the_oldest_python_that_is_supported() -> None:
    """The version that the tests run on and the pins are made for."""
    base = next(arguments for instruction, arguments in INSTRUCTIONS if instruction == "FROM")
    assert PROJECT["project"]["requires-python"] == ">=" + base.removeprefix("python:").removesuffix("-slim")


@pytest.mark.parametrize("name", WORKERS)
def test_the_images_files_alone_start_a_worker(name: str, image: Path) -> None:
    """Without the launcher and the tests: Faust loads the role's modules and shows its agents."""
    agents = run(image, WORKERS[name], "-m", "faust", "-A", "app", "agents")
    assert agents.returncode == 0, agents.stderr


def test_the_images_files_alone_can_set_up(image: Path) -> None:
    """`setup` is loaded and says how it is used; the servers that it needs are not here."""
    asked = run(image, SERVICES["setup"], "-m", "app", "setup", "--help")
    assert (asked.returncode, asked.stdout.splitlines()[0]) == (0, "usage: python -m app setup [-h] [--grant ROLE]")
