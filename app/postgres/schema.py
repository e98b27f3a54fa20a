"""Creates the database if it is missing, and brings it to the newest schema."""

from pathlib import Path

import psycopg2
from alembic import command
from alembic.config import Config
from psycopg2 import sql
from psycopg2.extensions import make_dsn, parse_dsn
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import DBAPIError

from app.postgres.errors import translated

MIGRATIONS = Path(__file__).parents[1] / "migrations"
MAINTENANCE_DATABASE = "postgres"
CONNECT_TIMEOUT_S = 10
# Our advisory lock, an arbitrary number: its holder migrates, others wait and then find nothing to do.
_LOCK = 0x4D41544348


def migrate(database_url: str) -> None:
    """Create the database of this URL if it is missing and apply the revisions it lacks.

    Several processes may call it at once. Raises Away or Refused; a revision that fails leaves nothing behind.
    """
    try:
        _migrate(database_url)
    except psycopg2.Error as error:
        raise translated(error) from error
    except DBAPIError as error:
        raise (translated(error.orig) if isinstance(error.orig, psycopg2.Error) else error) from error


def _migrate(database_url: str) -> None:
    _create_database(database_url)
    engine = create_engine("postgresql+psycopg2://", creator=lambda: _connect(database_url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
        connection.commit()
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # configparser expands %
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()


def _create_database(database_url: str) -> None:
    database = str(parse_dsn(database_url).get("dbname") or MAINTENANCE_DATABASE)
    connection = _connect(make_dsn(database_url, dbname=MAINTENANCE_DATABASE))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    except psycopg2.errors.DuplicateDatabase:
        pass  # another process was first
    finally:
        connection.close()


def _connect(dsn: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S)
