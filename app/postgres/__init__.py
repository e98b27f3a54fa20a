"""Postgres: the only part of Matchstream that speaks SQL. The sink's transactions, and reading history.

`app.postgres.schema` is not among the names here: it loads half as much as all the rest of a worker, for setup only.
"""

from app.postgres.address import shown_address
from app.postgres.audit import Audit, recorded_positions
from app.postgres.connection import AWAY
from app.postgres.cursors import InvalidCursor, Place, cursor_of, place_of
from app.postgres.history import History, HistoryUnavailable, Page
from app.postgres.locked import lock_history
from app.postgres.recorder import Recorder, UnexpectedRecords
from app.postgres.sink import AnotherInstallation, Position, PositionMoved, Sink

__all__ = [
    "AWAY",
    "AnotherInstallation",
    "Audit",
    "History",
    "HistoryUnavailable",
    "InvalidCursor",
    "Page",
    "Place",
    "Position",
    "PositionMoved",
    "Recorder",
    "Sink",
    "UnexpectedRecords",
    "cursor_of",
    "lock_history",
    "place_of",
    "recorded_positions",
    "shown_address",
]
