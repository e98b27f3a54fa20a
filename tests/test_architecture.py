"""The repository tests itself: generated files are current, every module says what it owns, entry points answer."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from app.configuration import ROLES, UnknownSetting, load
from app.schemas import DIRECTORY, schemas
from app.topology import MODULES
from web.schemas import documents

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "agents", "tables", "web", "load")
MODULE_FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TEXT_FILES = sorted(
    ROOT / name
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    if name.endswith((".py", ".md", ".toml", ".yml", "Makefile"))
)
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
FAUST = Path(sys.executable).with_name("faust")
LISTS_MODULES = """
import atexit, runpy, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script as Python does, and prints the names of the loaded modules at the end."""
SCHEMAS, DOCUMENTS = schemas(), documents()


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_committed_schemas_are_those_of_the_models(name: str) -> None:
    """`python -m app.schemas` writes them; a difference means that a message changed."""
    assert (DIRECTORY / name).read_text() == SCHEMAS[name]


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_committed_api_documents_are_those_of_the_code(name: str) -> None:
    """`python -m web.schemas` writes them; a difference means that the API changed."""
    assert (DIRECTORY / name).read_text() == DOCUMENTS[name]


@pytest.mark.parametrize("path", MODULE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_opens_with_what_it_owns(path: Path) -> None:
    """The first sentence of each module is its line in the code map; empty package markers are exempt."""
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source))


def test_no_two_test_files_have_the_same_name() -> None:
    """Whoever is told a file's name must find one file."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_unfinished_is_marked_in_the_sources() -> None:
    """What is not done stands in an issue, not in the code."""
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert [str(path) for path in TEXT_FILES if path.exists() and mark.search(path.read_text())] == []


def test_no_file_names_a_machine() -> None:
    """A path of somebody's disk works for nobody else."""
    machine = re.compile(r"(?<![\w./])/(work|home|root|Users|tmp)/\w")
    assert [str(path) for path in TEXT_FILES if path.exists() and machine.search(path.read_text())] == []


def test_no_committed_file_records_download_addresses() -> None:
    """Pins name versions and hashes; where they come from is the business of whoever installs."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    kinds = ("uv.lock", "poetry.lock", "Pipfile.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml")
    assert [name for name in files if name.endswith(kinds)] == []
    assert [
        path.name for path in REQUIREMENTS if re.search(r"://|^ *-(-index|-extra|-find|i )", path.read_text(), re.M)
    ] == []


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_pin_has_its_hashes(path: Path) -> None:
    """What is installed is bit by bit what was tested."""
    entries = path.read_text().replace("\\\n", " ").splitlines()
    pins = [entry for entry in entries if entry.strip() and not entry.startswith("#")]
    python = re.compile(r"[a-z0-9._-]+==[^ ;]+( ; [^-]+)? +(--hash=sha256:[0-9a-f]{64} *)+")
    jar = re.compile(r"[\w.-]+:[\w.-]+:[\w.-]+ sha256:[0-9a-f]{64}")
    assert pins
    assert [pin for pin in pins if not (jar if path.name == "kafka.txt" else python).fullmatch(pin)] == []


def test_the_pins_for_development_are_those_of_the_application() -> None:
    """What the tests run on is what the image and the launcher install."""
    dev = _pins("dev.txt")
    for name in ("app.txt", "local.txt", "jars.txt"):
        assert _pins(name).items() <= dev.items()


def test_every_role_has_its_modules() -> None:
    """A worker without a role, or a role without modules, would start and do nothing."""
    assert set(MODULES) == set(ROLES)


@cache
def agents_of(role: str) -> subprocess.CompletedProcess[str]:
    """What `faust -A app agents` prints for the role and, on standard error, the modules that it has loaded."""
    command = [sys.executable, "-P", "-c", LISTS_MODULES, FAUST, "-A", "app", "agents"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"ROLE": role}, capture_output=True, text=True)


@pytest.mark.parametrize("role", ROLES)
def test_the_faust_command_finds_every_roles_agents(role: str) -> None:
    """From the checkout, uninstalled: the agents of the role's modules, by name."""
    found = agents_of(role)
    expected = {
        "matching": "match_orders",
        "recording": "record_executions",
        "clearing": "project_facts",
        "analytics": "fold_bars",
        "gateway": "",
    }

    assert found.returncode == 0, found.stderr
    assert expected[role] in found.stdout


@pytest.mark.parametrize("role", ROLES)
def test_no_role_loads_what_only_the_setup_needs(role: str) -> None:
    """Migrations bring a third of all that is imported, and a worker that is started again is waited for."""
    found = agents_of(role)
    loaded = {*found.stderr.split()}

    assert found.returncode == 0, found.stderr
    assert {"app.commands.verify", *MODULES[role]} <= loaded and not {"alembic", "sqlalchemy", "mako"} & loaded


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """Faust would ignore it silently."""
    file = tmp_path / "faust.conf.py"
    file.write_text("broker_comit_interval = 1.0\n")

    with pytest.raises(UnknownSetting, match="broker_comit_interval"):
        load(file)


def test_the_environment_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image, a role per container."""
    file = tmp_path / "faust.conf.py"
    file.write_text("role = 'gateway'\nslot = 1\ntopic_partitions = 3\n")
    monkeypatch.setenv("SLOT", "7")

    ours, fausts = load(file)

    assert (ours.role, ours.slot, fausts["topic_partitions"]) == ("gateway", 7, 3)
    assert not {"role", "slot"} & set(fausts)


def _pins(name: str) -> dict[str, str]:
    """Package -> version."""
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", text, re.MULTILINE))
