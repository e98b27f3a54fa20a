"""`python -m app …`: commands to run, stop and prepare a venue. Each is imported only when used."""

import sys
from collections.abc import Sequence
from importlib import import_module

from app.output import write_in_any_encoding

COMMANDS = {
    "up": ("app.local.up", "main", "run a venue on this machine, servers and workers, until Ctrl-C"),
    "down": ("app.local.up", "down", "stop the venue of a data folder"),
    "clean": ("app.local.up", "clean", "remove the data of a stopped venue"),
    "demo": ("app.local.demo", "main", "start a venue, send 5,000 orders, show a summary, remove everything"),
    "setup": ("app.setup", "main", "create topics, schema and instruments on the configured servers"),
    "export": ("app.export", "main", "write recorded trades, orders or bars to a Parquet or CSV file"),
    "replay": ("app.replay", "main", "run a file of commands through the engine without Kafka, print the reports"),
}
"""Name -> module, function (arguments -> exit code), help."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    if not arguments or arguments[0] not in COMMANDS:
        print("usage: python -m app COMMAND …\n")
        print("\n".join(f"  {name:<8} {text}" for name, (_, _, text) in COMMANDS.items()))
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help", "help")
        return 0 if asked_for_help else 2
    module, function, _ = COMMANDS[arguments[0]]
    try:
        code: int = getattr(import_module(module), function)(arguments[1:])
    except ModuleNotFoundError as missing:
        package = str(missing.name).partition(".")[0]
        print(f"The Python package {package} is missing: `make run` installs everything.", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    write_in_any_encoding()
    sys.exit(main(sys.argv[1:]))
