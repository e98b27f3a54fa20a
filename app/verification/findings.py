"""The findings of the checks (how much each compared, how many differences, the first one), and the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass
class Finding:
    """The result of one check on one kind of data."""

    check: str
    about: str
    compared: int = 0
    differences: int = 0
    first: str | None = None
    note: str | None = None
    """A fact that is not wrong, but that people should know."""

    def complain(self, sentence: str) -> None:
        """Count a difference."""
        self.differences += 1
        self.first = self.first or sentence


@dataclass
class Findings:
    """One finding for each check; the checks of Postgres, books or a changelog compare nothing if those are not given.

    `origin` comes first: if a part belongs to another log, or is ahead of the log, all its other checks fail, too.
    """

    origin: Finding = field(default_factory=lambda: Finding("O1", "one log behind all parts"))
    log: Finding = field(default_factory=lambda: Finding("O1", "the log and its engines"))
    executions: Finding = field(default_factory=lambda: Finding("O2", "executions"))
    trades: Finding = field(default_factory=lambda: Finding("O2", "trades"))
    states: Finding = field(default_factory=lambda: Finding("O3", "snapshots, id blocks and manifests"))
    books: Finding = field(default_factory=lambda: Finding("O3", "books"))
    postgres: Finding = field(default_factory=lambda: Finding("O4", "Postgres"))
    requests: Finding = field(default_factory=lambda: Finding("O5", "requests"))
    conservation: Finding = field(default_factory=lambda: Finding("O6", "conservation"))

    clearing: Finding = field(default_factory=lambda: Finding("O7", "clearing"))
    bars: Finding = field(default_factory=lambda: Finding("O8", "bars"))

    def all(self) -> tuple[Finding, ...]:
        """All findings, in the order of the checks."""
        return (
            self.origin,
            self.log,
            self.executions,
            self.trades,
            self.states,
            self.books,
            self.postgres,
            self.requests,
            self.conservation,
            self.clearing,
            self.bars,
        )


class Verdict(NamedTuple):
    """The findings of all checks that compared something; `in_flight` says what was not reported yet.

    `addresses`: each part's address, without password. `log_ids`: the log id of each partition of `orders`.
    """

    engine: str
    findings: tuple[Finding, ...]
    in_flight: tuple[str, ...] = ()
    addresses: Mapping[str, str] = {}
    log_ids: Mapping[int, str] = {}

    @property
    def is_right(self) -> bool:
        return not any(finding.differences for finding in self.findings)

    @property
    def first(self) -> str | None:
        """The first difference, in the order of the checks."""
        return next((f"{f.check}: {f.first}" for f in self.findings if f.first), None)

    def as_json(self) -> dict[str, Any]:
        findings = [vars(finding) for finding in self.findings]
        return {
            "right": self.is_right,
            "engine": self.engine,
            "first": self.first,
            "findings": findings,
            "in_flight": list(self.in_flight),
            "addresses": dict(self.addresses),
            "log_ids": {str(partition_id): log_id for partition_id, log_id in sorted(self.log_ids.items())},
        }

    def as_text(self) -> str:
        """The addresses, a line for each check, and the verdict."""
        lines = [f"  {part} {address}" for part, address in self.addresses.items()]
        if self.log_ids:
            ids = ", ".join(f"{partition_id} {log_id}" for partition_id, log_id in sorted(self.log_ids.items()))
            lines.append(f"  log ids of orders: {ids}")
        lines += [f"  {f.check} {f.about}: {f.compared:,} compared, {_outcome(f)}" for f in self.findings]
        lines += [f"  in flight: {sentence}" for sentence in self.in_flight]
        return "\n".join([f"checked with the {self.engine} engine:", *lines, "RIGHT" if self.is_right else "WRONG"])


def verdict(
    findings: Findings, naive: bool, in_flight: tuple[str, ...] = (), log_ids: Mapping[int, str] | None = None
) -> Verdict:
    """The verdict from the final findings."""
    seen = tuple(finding for finding in findings.all() if finding.compared or finding.differences)
    return Verdict("naive" if naive else "fast", seen, in_flight, log_ids=log_ids or {})


def _outcome(finding: Finding) -> str:
    if finding.first is None:
        return "equal" if finding.note is None else f"equal; {finding.note}"
    more = f" (and {finding.differences - 1:,} more)" if finding.differences > 1 else ""
    return finding.first + more
