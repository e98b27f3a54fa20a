"""Answers lists, newest first: the rows in memory, followed by the older ones from Postgres."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from aiohttp import web

from app.postgres import InvalidCursor, Page, RowKey, cursor_of, row_key_of
from web.edge.answers import answer, up_to
from web.edge.reading import MAX_LIMIT, malformed, number, page_number
from web.market.books import Market
from web.market.newest import MAX_SCANNED, Listed, Recent
from web.trading.recorded import ask_history

AskRecorded = Callable[[RowKey | None, int, int], Awaitable[Page]]
"""Asks Postgres for rows; its arguments: the row to start below, how many to skip, how many at most."""
Require = Callable[[Callable[[Mapping[str, int]], bool]], Awaitable[None]]
"""Waits until the recorded seqs (the last of each instrument) suffice; raises Refused (web/trading/recorded.py)."""


class Wanted(NamedTuple):
    """A requested page: at most `limit` rows below the row `below` (None: the newest), without the first `skip`."""

    limit: int
    skip: int
    below: RowKey | None
    by_cursor: bool


def wanted(given: dict[str, str], default_limit: int) -> Wanted:
    """The page that `limit` and `page` or `cursor` ask for; raises 400."""
    limit = number(given, "limit", default_limit, MAX_LIMIT)
    page = page_number(given, limit)
    if "cursor" not in given:
        return Wanted(limit, (page - 1) * limit, None, False)
    return Wanted(limit, 0, row_of_cursor(given["cursor"]) if given["cursor"] else None, True)


def row_of_cursor(cursor: str) -> RowKey:
    """The row that a cursor names; raises 400."""
    try:
        return row_key_of(cursor)
    except InvalidCursor as error:
        raise malformed("cursor", f"is {error}") from error


async def answer_list(
    name: str,
    page: Wanted,
    recent: Recent,
    require: Require,
    ask_recorded: AskRecorded,
    market: Market | None,
    shown: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> web.StreamResponse:
    """Answer an array, or for a cursor an object with the next cursor.

    Raises 503 if the page needs Postgres and Postgres is away or behind.

    A list of one market says up to which of its reports it has everything: an array in `X-Seq`, an object in `seq`.
    """
    seq = None if market is None else market.seq
    found, following = await _rows(page, recent, require, ask_recorded)
    rows = [shown(row) for row in found]
    if not page.by_cursor:
        return answer(rows, headers=up_to(seq))
    place = {} if seq is None else {"seq": seq}
    return answer({name: rows, "next_cursor": following and cursor_of(following), **place})


async def _rows(page: Wanted, recent: Recent, require: Require, ask_recorded: AskRecorded) -> Page:
    taken, since = _taken(page, recent)
    end = page.skip + page.limit
    rows = [row.answer() for row in taken[page.skip : end]]
    if len(taken) > end or (len(taken) == end and since is not None):
        return Page(rows, taken[end - 1].row_key)
    if since is None:
        return Page(rows, None)
    below = since if page.below is None else min(since, page.below)
    await require(partial(recent.is_whole, below=below))
    older = await ask_history(ask_recorded(below, max(0, page.skip - len(taken)), page.limit - len(rows)))
    return Page(rows + older.rows, older.following)


def _taken(page: Wanted, recent: Recent) -> tuple[list[Listed], RowKey | None]:
    """The rows in memory up to the page's end plus one, and the row key from which they are complete (None: all)."""
    taken: list[Listed] = []
    row_key, since = None, recent.since
    for count, row in enumerate(recent.newest_first()):
        if count == MAX_SCANNED:
            return taken, row_key
        row_key = row.row_key
        if since is not None and row_key < since:
            break
        if (page.below is None or row_key < page.below) and recent.is_wanted(row):
            taken.append(row)
            if len(taken) > page.skip + page.limit:
                break
    return taken, since
