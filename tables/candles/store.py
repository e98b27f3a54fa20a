"""The candles table in Faust: for people to inspect, and for old blocks of trades that memory does not keep."""

from app.topics import CANDLES_CHANGELOG
from tables.recovery.store import Store

candles = Store("candles", CANDLES_CHANGELOG, "instrument@offset -> a market's bars; see `table candles`")
