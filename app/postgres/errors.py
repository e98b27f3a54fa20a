"""Postgres' errors: which may pass if we wait, and what an operator must do about the others.

The codes are SQLSTATEs (PostgreSQL documentation, appendix A); a key stands for all codes that begin with it.
"""

import re

import psycopg2

WAITED_FOR = {
    "08": "is away",
    "25006": "is read-only",  # a standby, for instance during a failover
    "25P": "ended a transaction that was idle",
    "40": "undid the transaction",
    "53": "lacks resources",
    "53100": "has no room on its disk",
    "53200": "has no memory left",
    "53300": "has no connection left",
    "55006": "has a lock in the way",
    "55P03": "has a lock in the way",
    "57014": "canceled the statement",
    "57P": "is away",
    "58030": "cannot read or write its disk",
}
"""Code -> the temporary condition of Postgres; once it has passed, the same statement can succeed."""

FROM_THE_LOG = "drop the database and run `python -m app setup`: recording fills it again from `executions`"
CURES = {
    "23": f"the tables do not match the recorded positions; restore the database, or {FROM_THE_LOG}",
    "28": "correct the setting database_url, or pg_hba.conf",
    "3D": "run `python -m app setup`, which makes the database, or correct the setting database_url",
    "42704": "make the role first: `CREATE ROLE name LOGIN PASSWORD …`",
    "42501": "give the role of the setting database_url the rights on the database and its tables",
    "42P01": f"run `python -m app setup`; if tables were dropped, {FROM_THE_LOG}",
    "42703": "run `python -m app setup`, which brings the schema of an older release up to date",
    "42883": "run `python -m app setup`, which brings the schema of an older release up to date",
    "XX00": f"data are damaged; restore the database, or {FROM_THE_LOG}",
}
"""Code -> what an operator must do; these errors do not pass on their own. Codes in neither table are our mistakes."""

# For a failed connect libpq gives only the server's sentence, no SQLSTATE. If none of these matches, we wait.
REFUSED_CONNECTIONS = (
    (re.compile(r"authentication failed|no password supplied|no pg_hba\.conf entry|not permitted to log in"), "28000"),
    (re.compile(r'role ".*" does not exist'), "28000"),
    (re.compile(r'database ".*" does not exist'), "3D000"),
    (re.compile(r"permission denied for database"), "42501"),
)


class Away(Exception):
    """Postgres cannot run the statement now, but this may pass. `state` is its condition, such as "is read-only"."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(f"Postgres {state}: {text}")
        self.state, self.text = state, text


class Refused(RuntimeError):
    """Postgres refuses the statement, and waiting does not help. `code` is the SQLSTATE.

    `cure` says what an operator can do; None if the statement is our mistake.
    """

    def __init__(self, code: str | None, text: str, cure: str | None) -> None:
        super().__init__(f"Postgres refuses ({code}): {text}" + (f"; {cure}" if cure else ""))
        self.code, self.cure = code, cure


def translated(error: psycopg2.Error | OSError | TimeoutError) -> Away | Refused:
    """Convert a driver's error into Away (wait) or Refused (do not)."""
    text = _text(error)
    code = getattr(error, "pgcode", None) or _code_of_connection(text)
    if code is None:
        is_lost = not isinstance(error, psycopg2.Error) or _is_lost_connection(error)
        return Away("is away", text) if is_lost else Refused(None, text, None)
    state = _of(WAITED_FOR, code)
    return Refused(code, text, _of(CURES, code)) if state is None else Away(state, text)


def _text(error: BaseException) -> str:
    """The error's message on one line, without the statement and the position in it."""
    parts = [str(error)]
    if isinstance(error, psycopg2.Error) and error.diag.message_primary:
        parts = [part for part in (error.diag.message_primary, error.diag.message_detail) if part]
    return " ".join(": ".join(parts).split()) or type(error).__name__


def _is_lost_connection(error: psycopg2.Error) -> bool:
    # If the connection is lost in the middle of a result, psycopg2 raises a plain DatabaseError.
    kinds = (psycopg2.OperationalError, psycopg2.InterfaceError)
    return isinstance(error, kinds) or type(error) is psycopg2.DatabaseError


def _code_of_connection(text: str) -> str | None:
    return next((code for pattern, code in REFUSED_CONNECTIONS if pattern.search(text)), None)


def _of(table: dict[str, str], code: str) -> str | None:
    """The entry whose key is the longest prefix of this code."""
    return next((table[code[:length]] for length in range(len(code), 1, -1) if code[:length] in table), None)
