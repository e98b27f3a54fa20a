"""Failpoints: places in the code where a test can kill this process.

`FAILPOINT=name:nth` kills the process with SIGKILL the nth time that it reaches the failpoint. `nth` is a number or
`random`; the process writes the number that it chose to standard error. `name:nth:ms` kills it that many milliseconds
later, in the middle of the step that follows. Outside tests the variable is unset, and `reach` does nothing.
"""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable

VARIABLE = "FAILPOINT"
MOST = 20
"""The largest number that `random` chooses."""

GATEWAY = {
    "parsed-not-sent": "the order is checked, Kafka has not heard of it",
    "sent-not-acked": "the command is with the producer",
    "acked-before-response": "Kafka has the command, the client has no answer",
}
MATCHING = {
    "fetched": "a batch is there, nothing of it is applied",
    "applied-before-send": "a command is applied, its report not sent",
    "sent-executions": "reports are with the producer, none acknowledged",
    "acked-executions": "some outputs are acknowledged, others perhaps not",
    "after-outputs": "all outputs are acknowledged, no id block is written",
    "after-id_blocks": "between id blocks and snapshots",
    "sent-matchstream-books-changelog": "records of a checkpoint are with the producer, none acknowledged",
    "acked-matchstream-books-changelog": "some snapshots, or chunks of one, are acknowledged, others perhaps not",
    "after-snapshots": "snapshots are acknowledged, the manifest is not written",
    "after-manifest": "between manifest and tombstones",
    "after-tombstones": "everything is written, nothing acknowledged to Faust",
    "after-position_hint": "acknowledged to Faust, not committed",
    "after-commit": "the group's position is committed",
    "loading": "some of the changelog is read",
    "loaded": "a partition is loaded, no event was seen",
    "in-revoke": "partitions are being taken away",
    "graceful-stop": "asked to stop, before the last checkpoint",
}
RECORDING = {
    "rows-before-commit": "rows and position are sent to Postgres, not committed",
    "rows-after-commit": "they are committed, and the process does not know",
}
RECORDING_BARS = {
    "bars-before-commit": "bars, tickers and position are sent to Postgres, not committed",
    "bars-after-commit": "they are committed, and the process does not know",
}
ANALYTICS = {
    "fetched": "a batch is there, nothing of it is applied",
    "applied-before-send": "a report is applied, its update not sent",
    "sent-candles": "updates are with the producer, none acknowledged",
    "acked-candles": "some updates are acknowledged, others perhaps not",
    "after-outputs": "all updates are acknowledged, no block of trades is written",
    "after-id_blocks": "between blocks of trades and snapshots",
    "sent-matchstream-candles-changelog": "records of a checkpoint are with the producer, none acknowledged",
    "acked-matchstream-candles-changelog": "some snapshots, or chunks of one, are acknowledged, others perhaps not",
    **{
        name: MATCHING[name]
        for name in (
            "after-snapshots",
            "after-manifest",
            "after-tombstones",
            "after-position_hint",
            "after-commit",
            "loading",
            "loaded",
            "in-revoke",
            "graceful-stop",
        )
    },
}
CLEARING = {
    "sent-clearing": "the cutoffs of a cycle are with the producer",
    "acked-clearing": "Kafka has them, this process has not read them back",
    "fact-before-commit": "a fact and the position are sent to Postgres, not committed",
    "fact-after-commit": "they are committed; a closed cycle is not netted",
    "netting-before-commit": "obligations are computed, not committed",
    "netting-after-commit": "they are committed, the cycle has no seal",
    "sealing-before-commit": "the seal is computed, not committed",
    "sealing-after-commit": "it is committed, and the process does not know",
}


def armed(given: str) -> Callable[[str], None]:
    """The `reach` function for a value of FAILPOINT; raises ValueError for an unknown failpoint."""
    name, nth, later_ms = (*given.split(":"), "0")[:3]
    if name not in GATEWAY | MATCHING | RECORDING | RECORDING_BARS | ANALYTICS | CLEARING:
        raise ValueError(f"there is no failpoint {name}")
    left = random.randint(1, MOST) if nth == "random" else int(nth)
    print(f"failpoint {name}: the {left}th time kills", file=sys.stderr, flush=True)

    def reach(failpoint: str) -> None:
        nonlocal left
        if failpoint == name:
            left -= 1
            if left == 0:
                _kill(float(later_ms) / 1000)

    return reach


def _kill(later_s: float) -> None:
    if later_s:
        threading.Timer(later_s, _kill, (0.0,)).start()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _unarmed(failpoint: str) -> None:
    pass


reach = armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _unarmed
