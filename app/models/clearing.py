"""The records of the topic `clearing`: what the order log does not imply, and what each changes (docs/CLEARING.md)."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from app.clearing.cycles import Closed, Cycles, Decided, Decision, Opened
from app.models.commands import Identifier, TimeMs
from app.models.undecodable import read_own

Number = Annotated[int, Meta(ge=1, le=2**53)]
Seq = Annotated[int, Meta(ge=0, le=2**53)]
MAX_REASON = 256
MAX_AHEAD_MS = 60_000
"""How far a cutoff time may lie behind the log time of the `settle` that asks for it: clocks of gateways run ahead."""
MAX_MARKETS = 10_000
"""Markets whose cutoff moves in one cycle: a record with the longest names stays below 1 MB, Kafka's usual limit."""


class _Fact(Struct, tag_field="fact", forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    pass


class Settle(_Fact, tag="settle", frozen=True):
    """Somebody asks for a cycle: up to now, or up to a time of the log. The same key asks for the same cycle."""

    key: Identifier
    cutoff_time: TimeMs | None = None


class CycleClosed(_Fact, tag="cycle_closed", frozen=True):
    """The cutoff of each instrument for a cycle. The first one of the lowest open cycle counts."""

    cycle: Number
    cutoffs: dict[str, Seq]


class InstructionOutcome(_Fact, tag="outcome", frozen=True):
    """What became of an instruction of a cycle, or of all its pending ones."""

    cycle: Number
    state: Decision
    instruction: Number | None = None
    reason: Annotated[str, Meta(max_length=MAX_REASON)] | None = None


ClearingFact = Settle | CycleClosed | InstructionOutcome

encode_fact = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[ClearingFact] = msgspec.json.Decoder(ClearingFact)
_decode = _decoder.decode


class _Head(Struct):
    """What every record of the topic has."""

    fact: str


_decode_head = msgspec.json.Decoder(_Head).decode


def read_fact(value: bytes | None) -> ClearingFact | None:
    """The fact; None if another program must have written the record, as it has no `fact`.

    Raises UNDECODABLE for a fact that this release cannot read: skipping it would change what later ones mean.
    """
    return read_own(value, _decode, _decode_head)


def key_of(fact: ClearingFact) -> bytes:
    """The key of its record: the cycle, or of a `settle`, which has none yet, the key that asks for it."""
    return (fact.key if isinstance(fact, Settle) else str(fact.cycle)).encode()


def take(cycles: Cycles, fact: ClearingFact, time_ms: int) -> Opened | Closed | Decided | None:
    """Let the fact, with the log time of its record, change the cycles; None if it does not count.

    A cutoff time that is far from over at that log time would hold up every later cycle until it is.
    """
    if isinstance(fact, Settle):
        is_over = fact.cutoff_time is None or fact.cutoff_time <= time_ms + MAX_AHEAD_MS
        return cycles.settle(fact.key) if is_over else None
    if isinstance(fact, CycleClosed):
        return cycles.close(fact.cycle, fact.cutoffs)
    return cycles.decide(fact.cycle, fact.instruction, fact.state)
