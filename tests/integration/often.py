"""`python -m tests.integration.often`: a matching worker that pays any price for a snapshot every two seconds.

Tests that kill a worker at the steps of a checkpoint do not wait then until one is worth its bytes.
"""

from faust.cli.faust import cli

from tables.recovery import checkpoint

OFTEN = ("-m", "tests.integration.often")
"""Python's arguments for it."""


def main() -> None:
    checkpoint.AGE_MS_PER_ENTRY = 0
    cli()


if __name__ == "__main__":
    main()
