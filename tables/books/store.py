"""The books table in Faust, for people to inspect."""

from app.topics import BOOKS_CHANGELOG
from tables.recovery.store import Store

books = Store("books", BOOKS_CHANGELOG, "instrument@offset -> a book's snapshot, for inspection; see `table books`")
