"""`make mutants`: the core with one small mistake in it, thousands of times; the tests must notice every one.

Cosmic Ray makes the mistakes: another operator, number or condition, a loop that does not run. A mutant is killed when
a test fails on it. Those that survive are listed in SURVIVORS.md with the reason why nobody can tell them from the
original; the command fails if another one survives, if a listed one does not, or if less than 95 % are killed.

Not tried are mistakes that mean nothing: in annotations, type aliases and messages of errors, and `is` for `==` and the
like, where both mean the same (words and None exist once) or mean chance (numbers).

A mutant runs in a fork of this process, which has imported the tools and nothing of the core; no file is changed.
"""

import argparse
import ast
import os
import re
import resource
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import hypothesis.stateful  # noqa: F401  the forks need it
import msgspec  # noqa: F401  the forks need it
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

REPOSITORY = Path(__file__).parents[2]
CORE = REPOSITORY / "app" / "matching"
SURVIVORS = Path(__file__).with_name("SURVIVORS.md")
MIN_KILLED = 0.95

# The scenarios come first, without pytest: most mutants do not survive them, and they take a tenth of a second.
TESTS = (
    "tests/matching/test_book.py",
    "tests/matching/test_words.py",
    "tests/matching/test_core_commands.py",
    "tests/matching/test_rejections.py",
    "tests/matching/test_orders.py",
    "tests/matching/test_fees.py",
    "tests/matching/test_positions.py",
    "tests/matching/test_agenda.py",
    "tests/matching/test_ladder.py",
    "tests/matching/test_sanity.py",
    "tests/matching/test_reports.py",
    "tests/matching/test_order_of_checks.py",
    "tests/matching/test_identities.py",
    "tests/matching/test_properties.py",
    "tests/models/test_snapshots.py",
    "tests/test_recorded_logs.py",
)
OPTIONS = ("-x", "-q", "--noconftest", "-p", "no:cacheprovider", "-W", "ignore")
# CPU seconds for the scenarios, and for all: what takes ten times as long as the original will never end.
SECONDS_FOR_SCENARIOS, SECONDS_FOR_ALL = 2, 20
MAX_BYTES = 4 << 30

# An arithmetic operator becomes its opposite; the ten others are noticed, or not, by the same tests.
OPPOSITES = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "FloorDiv",
    "FloorDiv": "Mul",
    "Mod": "FloorDiv",
    "Pow": "Mul",
    "LShift": "RShift",
    "RShift": "LShift",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
}
SURVIVED, KILLED_BY_SCENARIO, KILLED_BY_TEST, NEVER_ENDED = range(4)
VERDICTS = ("survived", "killed by a scenario", "killed by another test", "did not end")


class Mutant(NamedTuple):
    """A module with a mistake in one line."""

    module: str
    code: str
    before: str
    after: str

    @property
    def name(self) -> str:
        """How it is listed: without its line number, which any edit above would change."""
        return f"{self.module}: {self.before}  =>  {self.after}"


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="make mutants", description="Try the tests on a core with mistakes in it.")
    parser.add_argument("modules", nargs="*", help="only these, as in `ladder.py`")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--listed", action="store_true", help="only those that are listed as survivors")
    options = parser.parse_args(arguments)
    listed = listed_survivors()
    mutants = [mutant for mutant in all_mutants(options.modules) if not options.listed or mutant.name in listed]
    expected = {name for name in listed if not options.modules or name.partition(":")[0] in options.modules}
    verdicts = list(judged(mutants, options.jobs))
    return report(verdicts, expected, 0 if options.modules or options.listed else MIN_KILLED)


def all_mutants(modules: Sequence[str]) -> Iterator[Mutant]:
    """Every mistake that means something, in these modules or all."""
    for path in sorted(CORE.glob("*.py")):
        if not modules or path.name in modules:
            yield from mutants_of(path.name, path.read_text())


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Every mistake in one module, the same code once."""
    meaning, seen = _meaning(source), {source}
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or not _means_something(name):
            continue
        for occurrence in range(sum(len(list(operator().mutation_positions(node))) for node in nodes)):
            code = mutate_code(source, operator(), occurrence)
            if code is None or code in seen:
                continue
            seen.add(code)
            if _meaning(code) not in (None, meaning):
                yield Mutant(module, code, *_difference(source, code))


def listed_survivors() -> set[str]:
    """The names of SURVIVORS.md: its lines that are indented."""
    lines = SURVIVORS.read_text().splitlines()
    return {line.strip() for line in lines if line.startswith("    ") and line.strip()}


def judged(mutants: Iterable[Mutant], jobs: int) -> Iterator[tuple[Mutant, int]]:
    """Each mutant with its verdict, so many at a time, as they come."""
    _be_small()
    _check_the_original()
    running: dict[int, Mutant] = {}
    for number, mutant in enumerate(mutants):
        if number % 100 == 0:
            print(f"{number} mutants begun, now {mutant.module}", file=sys.stderr, flush=True)
        if len(running) == jobs:
            yield _next_verdict(running)
        running[_start(mutant)] = mutant
    while running:
        yield _next_verdict(running)


def report(verdicts: list[tuple[Mutant, int]], expected: set[str], min_killed: float) -> int:
    """Say what came of it; the exit code."""
    survivors = [mutant.name for mutant, verdict in verdicts if verdict == SURVIVED]
    unlisted, stale = sorted({*survivors} - expected), sorted(expected - {*survivors})
    for module in sorted({mutant.module for mutant, _ in verdicts}):
        counts = Counter(verdict for mutant, verdict in verdicts if mutant.module == module)
        print(f"{module:16}", ", ".join(f"{counts[verdict]} {VERDICTS[verdict]}" for verdict in sorted(counts)))
    killed = 1 - len(survivors) / len(verdicts)
    print(f"{len(verdicts)} mutants, {len(survivors)} survived: {killed:.2%} killed")
    for name in unlisted:
        print(f"survived and is not listed: {name}")
    for name in stale:
        print(f"listed and does not survive: {name}")
    return 1 if unlisted or stale or killed < min_killed else 0


class _Plain(ast.NodeTransformer):
    """Takes out what has no meaning when the code runs."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        is_alias = isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
        node.annotation = ast.Constant(None)
        return None if is_alias else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        return None if isinstance(node.value, ast.Subscript | ast.BinOp) and _is_type(node.value) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        node.msg = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        if isinstance(node.exc, ast.Call):
            node.exc.args = []
        return node


def _is_type(node: ast.expr) -> bool:
    """`A | B`, `tuple[A, B]`: an expression of type names alone, whatever the operator has become."""
    if isinstance(node, ast.BinOp):
        return _is_type(node.left) and _is_type(node.right)
    if isinstance(node, ast.Subscript):
        return _is_type(node.value)
    return isinstance(node, ast.Name) and (node.id[0].isupper() or node.id in ("tuple", "dict", "list"))


def _meaning(code: str) -> str | None:
    """What the code does; None if it is no Python."""
    try:
        return ast.dump(_Plain().visit(ast.parse(code)))
    except SyntaxError:
        return None


def _means_something(operator: str) -> bool:
    """Whether Cosmic Ray's operator, as in `core/ReplaceBinaryOperator_Add_Sub`, is one of those that are tried."""
    kind, *words = operator.removeprefix("core/").split("_")
    if kind == "ReplaceBinaryOperator":
        return OPPOSITES.get(words[0]) == words[1]
    # `is` for `is not` is a mistake like any other, `is` for `==` is none or chance.
    return kind != "ReplaceComparisonOperator" or len({"Is", "IsNot"} & set(words)) != 1


def _difference(source: str, code: str) -> tuple[str, str]:
    """What differs, before and after: a line, seldom two; a decorator that is gone is told with its function."""
    lines, mutated = source.splitlines(), code.splitlines()
    changes = [change for change in SequenceMatcher(None, lines, mutated).get_opcodes() if change[0] != "equal"]
    _, start, end, new_start, new_end = changes[0]
    if start == end or new_start == new_end:
        end, new_end = end + 1, new_end + 1
    return _spaced(lines[start:end]), _spaced(mutated[new_start:new_end])


def _spaced(lines: Sequence[str]) -> str:
    """As one line, without the blanks that Cosmic Ray puts before what it has changed."""
    return re.sub(r"(?<=[\[(]) (?=[-\d])", "", " ".join(" ".join(lines).split()))


class _MutantModule(MetaPathFinder, InspectLoader):
    """Imports one module of the core from the mutant's code."""

    def __init__(self, mutant: Mutant) -> None:
        self.module = f"app.matching.{mutant.module.removesuffix('.py')}"
        self.code = mutant.code

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == self.module else None

    def get_source(self, fullname: str) -> str:
        return self.code


def _be_small() -> None:
    """No Faust, which `app` starts when it is imported (the core needs only its folder), and no plugins of pytest."""
    package = sys.modules["app"] = ModuleType("app")
    package.__path__ = [str(CORE.parent)]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


def _check_the_original() -> None:
    """What fails on the original kills every mutant and proves nothing."""
    path = CORE / "words.py"
    _, verdict = _next_verdict({_start(original := Mutant(path.name, path.read_text(), "", "")): original})
    if verdict != SURVIVED:
        sys.exit("The tests fail on the original.")


def _start(mutant: Mutant) -> int:
    """The process that tries a mutant; its exit code is the verdict."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    verdict = KILLED_BY_TEST
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.meta_path.insert(0, _MutantModule(mutant))
        verdict = _verdict()
    finally:
        os._exit(verdict)


def _verdict() -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_FOR_SCENARIOS, SECONDS_FOR_ALL))
    try:
        from tests.matching import test_scenarios

        for scenario in test_scenarios.ALL:
            test_scenarios.test_the_book_does_what_the_scenario_says(scenario)
        for scenario in test_scenarios.MIRRORABLE:
            test_scenarios.test_the_book_does_the_same_with_buyers_and_sellers_exchanged(scenario)
    except Exception:
        return KILLED_BY_SCENARIO
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_FOR_ALL, SECONDS_FOR_ALL))
    return KILLED_BY_TEST if pytest.main([*OPTIONS, *TESTS]) else SURVIVED


def _next_verdict(running: dict[int, Mutant]) -> tuple[Mutant, int]:
    pid, status = os.wait()
    mutant, code = running.pop(pid), os.waitstatus_to_exitcode(status)
    verdict = code if code >= 0 else NEVER_ENDED
    if verdict == SURVIVED and mutant.before:
        print(f"survived: {mutant.name}", file=sys.stderr, flush=True)
    return mutant, verdict


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    sys.exit(main(sys.argv[1:]))
