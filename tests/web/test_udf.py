"""TradingView's UDF protocol as it is documented for the public: what a stock chart client asks, and can read."""

from datetime import datetime
from typing import Any

import pytest

from app.local.venue import Venue
from tests.until import until
from tests.web.conftest import Api, list_market
from tests.web.contract import complaint
from tests.web.test_candle_pages import newest, told, updates_of


async def udf(api: Api, path: str, **query: Any) -> Any:
    """The answer, held to our own description of it; the protocol always answers with status 200."""
    async with api.session.get(f"{api.url}/udf/{path}", params={k: str(v) for k, v in query.items()}) as response:
        body = await (response.json() if response.content_type == "application/json" else response.text())
        assert complaint("GET", f"/udf/{path}", response.status, response.content_type, body) is None
        assert response.status == 200
        return body


async def test_the_configuration_names_what_is_supported(api: Api) -> None:
    """A client asks for it first; each resolution of a market is one of these."""
    found = await udf(api, "config")

    assert found["supported_resolutions"] == ["1", "3", "5", "15", "30", "60", "240", "1D", "1W"]
    assert found["supports_search"] is True and found["supports_group_request"] is False
    assert found["supports_time"] is True and found["supports_marks"] is False


@pytest.mark.parametrize(
    ("tick", "minmov", "pricescale"), [("0.01", 1, 100), ("0.50", 5, 10), ("0.0025", 25, 10_000), ("25", 25, 1)]
)
async def test_a_symbol_says_how_prices_step(api: Api, tick: str, minmov: int, pricescale: int) -> None:
    """The tick is minmov / pricescale, in which clients draw and round."""
    market = await list_market(api, tick_size=tick)
    found = await udf(api, "symbols", symbol=market)

    assert (found["minmov"], found["pricescale"], found["volume_precision"]) == (minmov, pricescale, 4)
    assert found["name"] == found["ticker"] == market
    assert (found["session"], found["timezone"], found["has_intraday"]) == ("24x7", "Etc/UTC", True)
    assert set(found["intraday_multipliers"]) < set(found["supported_resolutions"])
    assert await udf(api, "symbols", symbol=f"Matchstream:{market}") == found


async def test_an_unknown_symbol_is_an_error_of_the_protocol(api: Api) -> None:
    """Status 200, because clients look at `s` and not at the status."""
    assert await udf(api, "symbols", symbol="NO-SUCH") == {"s": "error", "errmsg": "unknown_symbol"}
    assert (await udf(api, "symbols"))["s"] == "error"


async def test_a_search_finds_markets_by_parts_of_their_names(api: Api, market: str) -> None:
    """In any letter case; each hit can be resolved by its ticker."""
    (found,) = await udf(api, "search", query=market[2:8].lower(), type="", exchange="", limit=30)

    assert (found["symbol"], found["full_name"]) == (market, f"Matchstream:{market}")
    assert (await udf(api, "symbols", symbol=found["ticker"]))["name"] == market
    assert await udf(api, "search", query=market, type="stock") == []
    assert await udf(api, "search", query=market, exchange="NYSE") == []
    assert len(await udf(api, "search", query="", limit=2)) == 2


async def test_the_time_is_plain_seconds(api: Api) -> None:
    """A number as text, which clients parse as an int."""
    assert 1_700_000_000 < int(await udf(api, "time")) < 10_000_000_000


async def test_history_has_the_bars_of_get_candles(api: Api, market: str) -> None:
    """In columns, oldest first, `from` included and `to` not; with countback whatever `from` says."""
    for side in ("sell", "buy"):
        await api.place(instrument=market, client_id=side, side=side, price="100.25", quantity="0.5")
    path = f"/candles?instrument={market}&interval=1h"
    (bar,) = (await until(lambda: api("GET", path), lambda answer: bool(answer.body) and answer.status == 200)).body
    opens = int(datetime.fromisoformat(bar["open_time"]).timestamp())
    of_market = {"symbol": market, "resolution": "60"}
    wanted = {"s": "ok", "t": [opens], "o": [100.25], "h": [100.25], "l": [100.25], "c": [100.25], "v": [0.5]}

    assert await udf(api, "history", **of_market, **{"from": opens, "to": opens + 1}) == wanted
    assert await udf(api, "history", **of_market, **{"from": opens + 1, "to": opens + 2, "countback": 2}) == wanted
    before = await udf(api, "history", **of_market, **{"from": 0, "to": opens})
    after = await udf(api, "history", **of_market, **{"from": opens + 3600, "to": opens + 7200})
    assert before == {"s": "no_data"}
    assert after == {"s": "no_data", "nextTime": opens}
    for resolution in (await udf(api, "config"))["supported_resolutions"] + ["D", "W"]:
        found = await udf(api, "history", symbol=market, resolution=resolution, countback=5)
        assert (found["s"], found["c"], len(found["t"])) == ("ok", [100.25], 1), resolution


async def test_a_history_that_cannot_be_answered_is_an_error_of_the_protocol(api: Api, market: str) -> None:
    """One sentence in errmsg."""
    unknown = await udf(api, "history", symbol="NO-SUCH", resolution="60")
    wrong = await udf(api, "history", symbol=market, resolution="7")

    assert unknown == {"s": "error", "errmsg": "unknown_symbol"}
    assert wrong["s"] == "error" and "/udf/config" in wrong["errmsg"]


async def test_bars_that_busts_emptied_are_none(venue: Venue, api: Api, market: str) -> None:
    """`countback` counts bars with trades, however many emptied ones are between them; `nextTime` is one of those."""
    updates = updates_of(market)
    await told(venue, api, market, updates)
    minutes = newest(updates)
    traded = [time // 1000 for time in sorted(minutes) if minutes[time].trades]
    emptied = [time // 1000 for time in sorted(minutes) if not minutes[time].trades]
    assert emptied[0] < traded[0] < emptied[1] < traded[-1]
    of_market = {"symbol": market, "resolution": "1"}
    for end in (emptied[1], emptied[-1], traded[-1] + 60):
        before = [time for time in traded if time < end]
        for countback in (1, 2, 99, 100, 101, len(before), 5_000):
            found = await udf(api, "history", **of_market, **{"from": end, "to": end, "countback": countback})
            assert found["t"] == before[-countback:]
    for time in emptied:
        before = [traded_at for traded_at in traded if traded_at < time]
        expected = {"s": "no_data"} | ({"nextTime": before[-1]} if before else {})
        assert await udf(api, "history", **of_market, **{"from": time, "to": time + 60}) == expected
        assert await udf(api, "history", **of_market, **{"from": time + 60, "to": time + 60}) == expected
