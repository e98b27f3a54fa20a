"""Postgres: the only part of Matchstream that speaks SQL. Schema, the sink's transactions, and reading history."""

from app.postgres.cursors import InvalidCursor
from app.postgres.history import History, HistoryUnavailable, Page
from app.postgres.schema import migrate

__all__ = ["History", "HistoryUnavailable", "InvalidCursor", "Page", "migrate"]
