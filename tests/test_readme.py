"""What the documents tell people to type and to open exists: make targets, commands, options, calls, files, links."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.__main__ import COMMANDS
from tests import warm

ROOT = Path(__file__).parents[1]
DOCUMENTS = {path.name: path.read_text() for path in sorted(ROOT.glob("*.md"))}
README = DOCUMENTS["README.md"]
MAKEFILE = (ROOT / "Makefile").read_text()
CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
WRITTEN_LATER = {".matchstream", ".venv"}
SHOW_ROUTES = "import json; from web.server import ROUTES; print(json.dumps([r[:2] for r in ROUTES]))"


def code(text: str) -> list[str]:
    """The lines of its code blocks, without prompts and comments, and its words in backticks."""
    lines = [line for block, word in CODE.findall(text) for line in (block or word).splitlines()]
    return [re.sub(r"^\$ |\s+#.*$", "", line) for line in lines]


def named(pattern: str, text: str = "\n".join(DOCUMENTS.values())) -> set[str]:
    """What the pattern's group finds in the code of the documents."""
    return {found for line in code(text) for found in re.findall(pattern, line)}


def output(*arguments: str, **env: str) -> str:
    """What a Python module prints."""
    command = [warm.python() if arguments[0] == "-m" else sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_make_target_that_is_named_exists() -> None:
    """A newcomer types what the README says."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert {"run", "test", "demo"} <= named(r"\bmake ([a-z-]+)")
    assert named(r"\bmake ([a-z-]+)") - targets == set()


def test_make_alone_lists_every_target() -> None:
    """Whoever types `make` sees all there is, each with what it does."""
    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = dict(re.findall(r"^  make ([a-z-]+) +(\S.+)$", listed, re.MULTILINE))
    phony = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert sorted(found) == sorted(name for names in phony for name in names.split())


def test_every_application_command_that_is_named_exists() -> None:
    """`python -m app …` and its usage agree with the documents."""
    assert {"up", "replay"} <= named(r"-m app ([a-z]+)")
    assert named(r"-m app ([a-z]+)") - COMMANDS.keys() == set()


def test_every_faust_command_that_is_named_exists() -> None:
    """Faust's own and ours, as `faust -A app --help` lists them."""
    shown = output("-m", "faust", "-A", "app", "--help").rpartition("Commands:")[2]
    listed = set(re.findall(r"^  ([a-z-]+)", shown, re.MULTILINE))
    assert {"place", "book", "cancel", "agents"} <= named(r"-A app ([a-z-]+)")
    assert named(r"-A app ([a-z-]+)") - listed == set()


@pytest.mark.parametrize("module", ["load", "load chaos", "app up"])
def test_every_option_that_the_readme_gives_a_module_exists(module: str) -> None:
    """An option that was renamed fails here before it fails for a reader."""
    given = named(rf"-m {module} --.*", README)
    options = {option for line in given for option in re.findall(r"--[a-z-]+", line)}
    assert options
    assert options - set(re.findall(r"--[a-z-]+", output("-m", *module.split(), "--help"))) == set()


def test_every_call_that_the_readme_shows_is_a_route() -> None:
    """Method and path of each curl and WebSocket address, against the gateway's page of routes."""
    routes = {(method, path) for method, path in json.loads(output("-c", SHOW_ROUTES, ROLE="gateway"))}
    calls = set()
    for line in code(README):
        for path in re.findall(r"localhost:8080(/[a-z0-9/_A-Z]+)", line):
            given = re.search(r"-X ([A-Z]+)", line)
            method = given[1] if given else "POST" if " -d " in line else "GET"
            calls.add((method, path.replace("ORDER_ID", "{order_id}")))
    assert {("POST", "/api/v1/orders"), ("GET", "/ws/trades")} <= calls
    assert calls - routes == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    """Code maps rot first."""
    paths = named(
        r"^([A-Za-z_.-]+(?:/[A-Za-z_.-]+)+/?|[a-z_]+/|[A-Za-z_.-]+\.(?:py|md|toml|yml))$", DOCUMENTS[document]
    )
    links = set(re.findall(r"\]\((?!https?:|#)([^)#]+)", DOCUMENTS[document]))
    missing = {path for path in paths | links if not (ROOT / path).exists()}
    assert {path for path in missing if path.split("/")[0] not in WRITTEN_LATER} == set()
