"""Runs in the programs of tests/warm.py: has a warm process run a command, and ends with its exit code.

It imports as little as possible, because each program pays for it.
"""

import json
import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ask(
    address: str, argv: "Sequence[str]", env: "Mapping[str, str]", folder: str, streams: "Sequence[int]"
) -> socket.socket:
    """Have `faust …` or `python -m …` run; the answer is a line with its pid, then one with its exit code."""
    request = {"argv": list(argv), "env": dict(env), "folder": folder}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], streams)
    return connection


def run(address: str, *argv: str) -> int:
    """Have a command run with our streams; its exit code."""
    folder = os.getcwd()  # noqa: PTH109 - pathlib is slow to import
    with ask(address, argv, os.environ, folder, [0, 1, 2]) as connection, connection.makefile() as answer:
        _, *code = answer
    return int(code[0]) if code else 1


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
