"""All SQL of Matchstream: the sink's transactions, and reading the history from Postgres.

Import `app.postgres.schema` separately: only setup needs it, and it takes half as long to import as the whole rest of a
worker.
"""

from app.postgres.address import shown_address
from app.postgres.agreement import AnotherInstallation, AnotherTime, Recorded, require_bounds, require_log_ids
from app.postgres.candles import BarRecorder
from app.postgres.clearing import Projection
from app.postgres.connection import AWAY
from app.postgres.cursors import InvalidCursor, RowKey, cursor_of, row_key_of
from app.postgres.errors import Away, Refused
from app.postgres.history import Accepted, History, Page
from app.postgres.journal import Journal, JournalEntry
from app.postgres.locked import lock_history
from app.postgres.reading import HistoryUnavailable, Reader
from app.postgres.recorder import Recorder, UnexpectedRecords
from app.postgres.retention import CannotRemove, remove_history
from app.postgres.settlements import Settlements
from app.postgres.sink import PositionMoved, Sink
from app.postgres.stored import Removed, Stored, recorded_positions

__all__ = [
    "AWAY",
    "Accepted",
    "AnotherInstallation",
    "AnotherTime",
    "Away",
    "BarRecorder",
    "CannotRemove",
    "History",
    "HistoryUnavailable",
    "InvalidCursor",
    "Journal",
    "JournalEntry",
    "Page",
    "PositionMoved",
    "Projection",
    "Reader",
    "Recorded",
    "Recorder",
    "Refused",
    "Removed",
    "RowKey",
    "Settlements",
    "Sink",
    "Stored",
    "UnexpectedRecords",
    "cursor_of",
    "lock_history",
    "recorded_positions",
    "remove_history",
    "require_bounds",
    "require_log_ids",
    "row_key_of",
    "shown_address",
]
