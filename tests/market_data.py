"""Where recorded market data and published benchmark streams are, which are not part of the project.

The folder is `MATCHSTREAM_TEST_DATA`, or `shared/data` beside the repository.
"""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """A folder of the data. Without it the test is skipped, or fails where CI=true, so nobody takes it for passed."""
    root = Path(os.environ.get("MATCHSTREAM_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = root / name
    if not folder.is_dir():
        message = f"There is no market data in {folder}; MATCHSTREAM_TEST_DATA says where it is."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
