"""Postgres: the only part of Matchstream that speaks SQL. Schema, the sink's transactions, and reading history."""

from app.postgres.cursors import InvalidCursor
from app.postgres.history import History, HistoryUnavailable, Page
from app.postgres.recorder import Recorder, UnexpectedRecords
from app.postgres.schema import migrate
from app.postgres.sink import AnotherInstallation, PositionMoved, Sink

__all__ = [
    "AnotherInstallation",
    "History",
    "HistoryUnavailable",
    "InvalidCursor",
    "Page",
    "PositionMoved",
    "Recorder",
    "Sink",
    "UnexpectedRecords",
    "migrate",
]
