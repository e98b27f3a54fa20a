"""The rule book is in the repository: every document, rule and check that anything cites exists in it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
TEXTS = {
    name: (ROOT / name).read_text()
    for name in TRACKED
    if name.endswith((".py", ".md", ".toml", ".yml", "Makefile", "run")) and "static/" not in name
}
RULE_BOOK = {"R": "docs/MATCHING.md", "I": "docs/EXACTNESS.md", "O": "docs/EXACTNESS.md"}
DOCUMENT = re.compile(r"""(?<![\w/."-])((?:[\w.-]+/)*[\w-]+\.md)\b""")
NUMBER = re.compile(r"(?<![\w-])([RIO])(\d{1,2})(?![\w.])(?: to \1?(\d{1,2}))?")


def cited_numbers(text: str) -> set[str]:
    """`R6`, and every number of `O1 to O6`."""
    found = set()
    for letter, first, last in NUMBER.findall(text):
        found |= {f"{letter}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def defined_numbers(letter: str) -> set[str]:
    """The numbers that open a row of a table in the document of this letter."""
    rows = re.findall(rf"^\| ({letter}\d+)\b", (ROOT / RULE_BOOK[letter]).read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows)), "a number is defined twice"
    return set(rows)


@pytest.mark.parametrize("letter", sorted(RULE_BOOK))
def test_every_number_that_is_cited_is_defined(letter: str) -> None:
    """Somebody who has only the repository can look up R6, I12 or O4."""
    defined = defined_numbers(letter)
    cited = {name: {n for n in cited_numbers(text) if n[0] == letter} - defined for name, text in TEXTS.items()}
    assert len(defined) >= 7
    assert {name: sorted(missing) for name, missing in cited.items() if missing} == {}


def test_every_document_that_is_cited_is_there() -> None:
    """A path from the root, or from the folder of the file that cites it."""
    missing = {
        (name, cited)
        for name, text in TEXTS.items()
        for cited in DOCUMENT.findall(text)
        if cited not in TRACKED and str(Path(name).parent / cited) not in TRACKED
    }
    assert missing == set()
