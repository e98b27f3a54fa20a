"""The repository tests itself: generated files are current, every module says what it owns, entry points answer."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.schemas import DIRECTORY, schemas
from app.settings import ROLES, UnknownSetting, load
from app.topology import MODULES

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "agents", "tables", "web", "load")
MODULE_FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TEXT_FILES = sorted(
    ROOT / name
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    if name.endswith((".py", ".md", ".toml", ".yml", "Makefile"))
)
FAUST = Path(sys.executable).with_name("faust")


@pytest.mark.parametrize("name", sorted(schemas()))
def test_the_committed_schemas_are_those_of_the_models(name: str) -> None:
    """`python -m app.schemas` writes them; a difference means that a message changed."""
    assert (DIRECTORY / name).read_text() == schemas()[name]


@pytest.mark.parametrize("path", MODULE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_opens_with_what_it_owns(path: Path) -> None:
    """The first sentence of each module is its line in the code map; empty package markers are exempt."""
    source = path.read_text()
    assert not source.strip() or ast.get_docstring(ast.parse(source))


def test_nothing_unfinished_is_marked_in_the_sources() -> None:
    """What is not done stands in an issue, not in the code."""
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert [str(path) for path in TEXT_FILES if path.exists() and mark.search(path.read_text())] == []


def test_every_role_has_its_modules() -> None:
    """A worker without a role, or a role without modules, would start and do nothing."""
    assert set(MODULES) == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_the_faust_command_finds_every_roles_agents(role: str) -> None:
    """From the checkout, uninstalled: the agents of the role's modules, by name."""
    found = subprocess.run(
        [FAUST, "-A", "app", "agents"], cwd=ROOT, env=os.environ | {"ROLE": role}, capture_output=True, text=True
    )
    expected = {"matching": "match_orders", "recording": "record_executions", "gateway": ""}

    assert found.returncode == 0, found.stderr
    assert expected[role] in found.stdout


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

    assert (ours.role, ours.slot, fausts) == ("gateway", 7, {"topic_partitions": 3})
