"""What commands print, on terminals and into pipes that are not as we wish."""

import os
import subprocess
import sys

import pytest

from app.local.venue import ROOT

GUARDED = "from app import output; output.guard(); [print(number) for number in range(100_000)]"
ASCII = os.environ | {"PYTHONIOENCODING": "ascii"}


def test_a_terminal_that_lacks_a_character() -> None:
    """The help of `python -m app` has an ellipsis, and was a traceback there."""
    done = subprocess.run([sys.executable, "-m", "app", "--help"], cwd=ROOT, env=ASCII, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(r"usage: python -m app COMMAND \u2026")


@pytest.mark.parametrize(
    ("output", "code", "sentence"),
    [("| head -1", "0 1", "0\n"), ("> /dev/full", "1", "Error: cannot write the output: No space left on device\n")],
)
def test_output_that_cannot_be_written(output: str, code: str, sentence: str) -> None:
    """Silently if its reader has gone, as other programs end; else in one sentence."""
    command = f'"{sys.executable}" -c "{GUARDED}" {output}; echo ${{PIPESTATUS[@]}} >&2'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    ended = " ".join(sorted(done.stderr.splitlines()[-1].split()))
    assert (done.stdout + "".join(done.stderr.splitlines(keepends=True)[:-1]), ended) == (sentence, code)
