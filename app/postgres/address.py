"""A database's address as people may see it: without the password."""

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

UNREADABLE = "an address that libpq cannot read"


def shown_address(database_url: str) -> str:
    """User, host, port and database of a URL or a DSN, as a URL; whatever else it holds is left out."""
    try:
        said = parse_dsn(database_url)
    except ProgrammingError:
        return UNREADABLE
    user = f"{said['user']}@" if "user" in said else ""
    port = f":{said['port']}" if "port" in said else ""
    return f"postgresql://{user}{said.get('host', '')}{port}/{said.get('dbname', '')}"
