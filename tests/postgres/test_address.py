"""A database's address in verdicts and errors: enough to know which it is, never its password."""

import pytest

from app.postgres import shown_address


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://ann:secret@db.example:5433/venue", "postgresql://ann@db.example:5433/venue"),
        ("postgresql://db.example/venue?password=secret&sslmode=require", "postgresql://db.example/venue"),
        ("host=db.example port=5433 user=ann password=secret dbname=venue", "postgresql://ann@db.example:5433/venue"),
        ("postgresql://ann:sec ret@[", "an address that libpq cannot read"),
    ],
)
def test_an_address_is_shown_without_its_password(given: str, shown: str) -> None:
    """Of a URL and of libpq's own spelling; also of one that is neither."""
    assert shown_address(given) == shown
