"""`python -m app …`: the commands around a venue. Each is loaded only when asked for."""

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "up": ("app.local.up", "main", "start a venue on this machine: servers and workers, until Ctrl-C"),
    "down": ("app.local.up", "down", "stop the venue of a data folder"),
    "clean": ("app.local.up", "clean", "remove the data of a venue that does not run"),
    "demo": ("app.local.demo", "main", "a venue, 5,000 orders, what became of them, and down again"),
    "setup": ("app.setup", "main", "topics, schema and instruments on the servers of the settings"),
    "replay": ("app.replay", "main", "a file of commands in, its reports out, without Kafka"),
}
"""Name: module, function (arguments -> exit code), help."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
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
    sys.exit(main(sys.argv[1:]))
