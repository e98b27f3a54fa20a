"""Each command works in an environment with only what its make target installs, and the image's in the image's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.__main__ import COMMANDS
from app.configuration import ROLES
from app.topology import MODULES

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
WITHOUT = """
import re, runpy, sys
from importlib.metadata import packages_distributions
from pathlib import Path

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

requirements, *sys.argv = sys.argv[1:]
installed = {plain(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", Path(requirements).read_text(), re.MULTILINE)}
for module, packages in packages_distributions().items():
    if not installed & {plain(package) for package in packages}:
        sys.modules[module] = None  # an import of it fails, as if it were not installed
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def assert_works(requirements: str, *arguments: str, **env: str) -> None:
    """Run a module with arguments, or `-c` and a program, without the packages that are not in this file."""
    command = [sys.executable, "-c", WITHOUT, f"requirements/{requirements}.txt", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["load", "faust -A app"])
def test_after_make_run_the_commands_of_the_readme_work(command: str) -> None:
    """`make run` installs what the load generator and the command line import."""
    assert_works("local", *command.split(), "--help")


def test_make_installs_what_its_recipes_import() -> None:
    """Every module of the launcher's commands and of each recipe that needs the launcher's environment only."""
    recipes = re.findall(r"^[a-z]+: \$\(VENV\)/local\.stamp.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    modules = {module for recipe in recipes for module in re.findall(r"\$\(PYTHON\) -m ([a-z_.]+)", recipe)} - {"venv"}
    assert {"app", "app.schemas", "web.schemas"} <= modules
    modules |= {module for module, _, _ in COMMANDS.values()}
    assert_works("local", "-c", f"import {', '.join(sorted(modules))}", ROLE="gateway")


@pytest.mark.parametrize("role", ROLES)
def test_the_image_has_what_its_commands_import(role: str) -> None:
    """The Dockerfile installs requirements/app.txt: for each role, and to set up a venue."""
    modules = ("app.setup", "app.replay", *MODULES[role])
    assert_works("app", "-c", f"import {', '.join(modules)}", ROLE=role)
