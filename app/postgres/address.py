"""A database's address without the password, for people and logs."""

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

UNREADABLE = "an address that libpq cannot read"


def shown_address(database_url: str) -> str:
    """User, host, port and database of a URL or a DSN, as a URL; leaves out everything else."""
    try:
        parts = parse_dsn(database_url)
    except ProgrammingError:
        return UNREADABLE
    user = f"{parts['user']}@" if "user" in parts else ""
    port = f":{parts['port']}" if "port" in parts else ""
    return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"
