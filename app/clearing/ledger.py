"""The ledger: cycle after cycle from the facts of the topic, with what each carries into the next."""

from collections.abc import Mapping
from typing import NamedTuple

from app.clearing.chain import NO_SEAL
from app.clearing.cycles import Closed, Decided, Decision
from app.clearing.netting import Holding, Instruction, Netting, Obligation, instructions
from app.clearing.positions import Position
from app.clearing.seals import seal


class Netted(NamedTuple):
    """A cycle with its obligations and instructions, what it adds to positions, and the outcomes that it seals."""

    obligations: dict[Holding, Obligation]
    positions: dict[tuple[str, str], Position]
    instructions: dict[int, Instruction]
    outcomes: list[Decided]


class Ledger:
    """Feed it `net`, `seal` and `decide` in the order of the topic."""

    def __init__(self) -> None:
        self.decisions: dict[tuple[int, int], Decision] = {}
        """Cycle and instruction -> its outcome; pending ones are absent."""
        self.seals: dict[int, str] = {}
        self._pending: dict[int, dict[int, Instruction]] = {}
        self._closings: dict[Holding, int] = {}
        self._carried: dict[Holding, int] = {}
        self._outcomes: list[Decided] = []

    def net(self, netting: Netting) -> Netted:
        """Net the next cycle; all its entries are in the netting."""
        obligations = netting.obligations(self._carried, self._closings)
        netted = Netted(obligations, netting.positions(), instructions(obligations), self._outcomes)
        self._carried, self._outcomes = {}, []
        self._closings |= {holding: found.closing for holding, found in obligations.items()}
        return netted

    def seal(self, closed: Closed, netted: Netted, digests: Mapping[str, str]) -> str:
        """Seal the cycle that was netted last; `digests` are those of its statements by client."""
        cycle = closed.cycle
        previous = self.seals.get(cycle - 1, NO_SEAL)
        found = seal(cycle, previous, closed.ranges, netted.outcomes, netted.obligations, digests)
        self.seals[cycle], self._pending[cycle] = found, dict(netted.instructions)
        return found

    def decide(self, decided: Decided) -> list[Decided]:
        """Apply an outcome; return one decision for each instruction that was pending."""
        cycle, instruction, decision = decided
        pending = self._pending.get(cycle, {})
        numbers = list(pending) if instruction is None else [instruction] if instruction in pending else []
        taken = [Decided(cycle, number, decision) for number in numbers]
        for number in numbers:
            client, asset, amount = pending.pop(number)
            self.decisions[cycle, number] = decision
            if decision == "failed":
                self._carried[client, asset] = self._carried.get((client, asset), 0) + amount
        self._outcomes += taken
        return taken

    def is_settled(self, cycle: int) -> bool:
        """Whether none of the cycle's instructions is pending."""
        return cycle in self._pending and not self._pending[cycle]
