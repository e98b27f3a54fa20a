"""The order log: a file with one JSON line for each event of an order, written in batches."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from app.matching.words import Outcome, Status
from app.models.commands import PlaceOrder
from app.models.reports import ExecutionReport

WRITE_INTERVAL_S = 0.5
MAX_WAITING = 100_000  # lines; beyond, the disk is too slow, and the log drops and counts new lines
MAX_FILE_BYTES = 256 * 1024 * 1024


class OrderLog:
    """Logs `all` orders (submitted, matched, canceled and failed), only `rejected` (failed) ones, or none (`off`)."""

    def __init__(self, file: Path, what: Literal["all", "rejected", "off"]) -> None:
        self._file = file
        self._all, self._rejected = what == "all", what != "off"
        self._lines: list[bytes] = []
        self._lost = 0
        self._log: structlog.typing.WrappedLogger = structlog.wrap_logger(
            None,
            processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), self._keep],
            cache_logger_on_first_use=True,
        )

    def note_accepted(self, order: PlaceOrder, order_id: str) -> None:
        """Log an order that Kafka has acknowledged."""
        if self._all:
            self._log.info(
                "submitted",
                order_id=order_id,
                client_id=order.client_id,
                instrument=order.instrument,
                side=order.side,
                type=order.type,
                price=order.price,
                quantity=order.quantity,
            )

    def note_refused(self, status: int, code: str, detail: str) -> None:
        """Log an order that the gateway refused."""
        if self._rejected:
            self._log.info("failed", status=status, code=code, detail=detail)

    def note_reported(self, report: ExecutionReport) -> None:
        """Log the engine's report on an order of this gateway."""
        if report.outcome is Outcome.REJECTED:
            if self._rejected:
                self._log.info("failed", order_id=report.order_id, instrument=report.instrument, code=report.reason)
        elif self._all:
            for change in report.orders:
                if change.liquidity is not None or change.status is Status.CANCELED:
                    self._log.info(
                        "canceled" if change.status is Status.CANCELED else "matched",
                        order_id=change.order_id,
                        instrument=report.instrument,
                        seq=report.seq,
                        status=change.status,
                        filled_quantity=change.filled_quantity,
                        last_price=change.last_price,
                    )

    async def run(self) -> None:
        """Write the waiting lines every WRITE_INTERVAL_S until cancelled."""
        try:
            while True:
                await asyncio.sleep(WRITE_INTERVAL_S)
                await asyncio.to_thread(self.write)
        finally:
            self.write()

    def write(self) -> None:
        """Append the waiting lines; rename a full file first. If writing fails, drop the lines and count them."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if self._file.exists() and self._file.stat().st_size > MAX_FILE_BYTES:
                self._file.replace(self._file.with_suffix(".log.1"))
            with self._file.open("ab") as file:
                file.write(b"".join(lines))
        except OSError:
            self._lost += len(lines)

    def _keep(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        if len(self._lines) < MAX_WAITING:
            if self._lost:
                event, self._lost = {**event, "lines_lost_before": self._lost}, 0
            self._lines.append(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
        else:
            self._lost += 1
        raise structlog.DropEvent
