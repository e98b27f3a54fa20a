"""Seals: one digest over all that a cycle decided, chained to the one before."""

from collections.abc import Iterable, Mapping

from app.clearing.amounts import text
from app.clearing.chain import Chain
from app.clearing.cycles import Decided, Ranges
from app.clearing.netting import Holding, Obligation


def seal(
    cycle: int,
    previous: str,
    ranges: Ranges,
    outcomes: Iterable[Decided],
    obligations: Mapping[Holding, Obligation],
    digests: Mapping[str, str],
) -> str:
    """The seal of a cycle. `outcomes` are those since the previous cycle was closed, each of one instruction.

    `digests` are those of the statements by client.
    """
    chain = Chain([f"cycle,{cycle},{previous}"])
    for instrument, (after, to) in sorted(ranges.items()):
        chain.add(f"range,{instrument},{after},{to}")
    for number, instruction, decision in sorted(outcomes):
        chain.add(f"outcome,{number},{instruction},{decision}")
    for (client, asset), found in sorted(obligations.items()):
        sums = (found.gross_in, found.gross_out, found.fees, found.carried, found.net, found.opening, found.closing)
        chain.add(f"obligation,{client},{asset},{','.join(map(text, sums))}")
    for client, digest in sorted(digests.items()):
        chain.add(f"statement,{client},{digest}")
    return chain.hex
