"""Databases of a test's own in the shared Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import make_dsn

from app.local import postgres
from app.local.servers import Servers


@contextmanager
def empty_database(servers: Servers, name: str) -> Iterator[str]:
    """The URL of a new database, which is dropped at the end."""
    postgres.create_database(servers.postgres_port, name)
    url = postgres.url(servers.postgres_port, name)
    yield url
    drop_database(url)


def drop_database(database_url: str) -> None:
    """Remove it, whoever is connected."""
    connection = psycopg2.connect(make_dsn(database_url, dbname="postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {database_url.rpartition('/')[2]} WITH (FORCE)")
    connection.close()
