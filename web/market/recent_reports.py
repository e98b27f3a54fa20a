"""Keeps the latest reports about cancels, amends, listings and halts, to answer repeats of the same command."""

from app.models.reports import ExecutionReport

MAX_ENTRIES = 20_000  # a report counts 1 plus its orders; the gateway reads older reports from the log again
REMEMBERED = frozenset(("cancel", "amend", "mass_cancel", "list", "halt", "resume"))


class RecentReports:
    """Reports by instrument and the seq of their first part, oldest first."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], list[ExecutionReport]] = {}
        self._entries = 0

    def add(self, report: ExecutionReport) -> None:
        """Store the next report, if its command is one of REMEMBERED."""
        if report.command not in REMEMBERED:
            return
        first = report.instrument, report.seq - report.part + 1
        if report.part == 1:
            self._parts[first] = [report]
        elif (parts := self._parts.get(first)) is not None:
            parts.append(report)
        else:
            return
        self._entries += 1 + len(report.orders)
        while self._entries > MAX_ENTRIES and len(self._parts) > 1:
            oldest = self._parts.pop(next(iter(self._parts)))
            self._entries -= sum(1 + len(part.orders) for part in oldest)

    def get(self, instrument: str, seq: int) -> list[ExecutionReport] | None:
        """The report whose first part has this seq; None unless all its parts are in memory."""
        parts = self._parts.get((instrument, seq))
        return parts if parts is not None and len(parts) == parts[0].parts else None
