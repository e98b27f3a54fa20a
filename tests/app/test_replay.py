"""`python -m app replay`: command lines in, report lines out (app/replay.py)."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.matching.commands import COMMAND_WORDS
from app.models.identity import id_text, order_id
from app.replay import OffsetGoesBack, replay

ROOT = Path(__file__).parents[2]
LIST = {
    "command": "list",
    "instrument": "BTC-USD",
    "command_id": "l1",
    "base_asset": "BTC",
    "quote_asset": "USD",
    "tick_size": "0.01",
    "lot_size": "0.1",
}
SELL = {
    "command": "place",
    "instrument": "BTC-USD",
    "client_id": "alice",
    "client_order_id": "s1",
    "side": "sell",
    "type": "limit",
    "price": "100",
    "quantity": "2",
}
BUY = SELL | {"client_id": "bob", "client_order_id": "b1", "side": "buy", "quantity": "0.5"}


def lines(*commands: Any) -> list[bytes]:
    return [json.dumps(command).encode() + b"\n" for command in commands]


def replayed(*commands: Any) -> list[dict[str, Any]]:
    return [json.loads(report) for report in replay(lines(*commands))]


def test_two_orders_that_meet_give_a_trade() -> None:
    """Offsets are line numbers from 1, times one millisecond apart, numbers have the instrument's decimals."""
    listed, rested, traded = replayed(LIST, SELL, BUY)

    assert (listed["seq"], listed["offset"], listed["market_status"]) == (1, 1, "open")
    assert (rested["orders"][0]["status"], rested["orders"][0]["remaining_quantity"]) == ("new", "2.0")
    assert traded["time"] - rested["time"] == 1
    (trade,) = traded["trades"]
    assert (trade["price"], trade["quantity"], trade["buy_client_id"]) == ("100.00", "0.5", "bob")
    assert {"side": "sell", "price": "100.00", "quantity": "1.5", "orders": 1} in traded["levels"]


def test_offset_and_time_may_be_given() -> None:
    """The line after goes on from the time given."""
    _, second, third = replayed(LIST, SELL | {"offset": 70, "time": 5_000}, BUY)

    assert (second["offset"], second["time"], third["offset"], third["time"]) == (70, 5_000, 71, 5_001)


def test_an_offset_that_goes_back_is_refused() -> None:
    """The engine would take the line for one that it has seen."""
    with pytest.raises(OffsetGoesBack, match="line 2"):
        replayed(LIST | {"offset": 7}, SELL | {"offset": 7})


def test_a_line_that_is_no_command_is_reported_and_the_next_goes_on() -> None:
    """As in the topic: under the partition's reserved instrument, with its beginning."""
    given = [*lines(LIST), b"nonsense\n", b'{"instrument": 7}\n', b"\n", *lines(BUY | {"instrument": "NO-NE"}, SELL)]
    reports = [json.loads(report) for report in replay(given)]

    reasons = [report.get("reason") for report in reports]
    assert reasons == [None, "malformed_command", "malformed_command", "unknown_instrument", None]
    assert reports[1]["instrument"] == "_partition-0"
    assert reports[1]["raw"] == "nonsense"


def test_a_log_that_begins_with_its_genesis_record_gives_what_it_gave() -> None:
    """By its engine version, 1 if it names none; without such a record the newest one holds."""
    iceberg, taker = SELL | {"display_quantity": "1"}, BUY | {"quantity": "2"}
    genesis = {"command": "genesis", "log_id": "00000000-0000-4000-8000-000000000001"}
    for first, version, trades in (
        ([], 3, 1),
        ([genesis], 1, 2),
        ([genesis | {"engine_version": 2}], 2, 1),
        ([genesis | {"offset": 0, "time": 9}], 1, 2),
    ):
        *_, traded = replayed(*first, LIST, iceberg, taker)
        assert (traded["engine_version"], len(traded["trades"])) == (version, trades), first


def test_equal_input_gives_equal_bytes_in_any_process() -> None:
    """Whatever the hash seed: reports are a function of the log."""
    text = b"".join(lines(LIST, SELL, BUY))
    command = [sys.executable, "-m", "app", "replay", "-"]
    outputs = {
        subprocess.run(
            command, cwd=ROOT, input=text, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }

    assert outputs == {b"".join(report + b"\n" for report in replay(io.BytesIO(text)))}


def test_a_reader_that_has_gone_ends_the_replay(tmp_path: Path) -> None:
    """Without a word, as other programs end."""
    log = tmp_path / "log"
    log.write_bytes(b"".join(lines(LIST, *(SELL | {"client_order_id": f"s{number}"} for number in range(2_000)))))
    command = f'"{sys.executable}" -m app replay "{log}" | head -1'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True)
    assert done.stderr == b"" and json.loads(done.stdout)["command"] == "list"


def test_every_command_is_accepted() -> None:
    """A day in a market, with each word of the log at least once, told by what came of each order."""
    client, market = {"instrument": "BTC-USD", "client_id": "alice"}, {"instrument": "BTC-USD"}
    s1, s2, s3 = (id_text(order_id("alice", "BTC-USD", key)) for key in ("s1", "s2", "s3"))
    b9 = id_text(order_id("bob", "BTC-USD", "b9"))
    new = SELL | {"client_order_id": "s3", "price": "102", "quantity": "3"}
    day = [
        LIST,
        SELL,
        SELL | {"client_order_id": "s2", "type": "stop_limit", "stop_price": "90", "price": "89"},
        {"command": "amend", **client, "command_id": "a1", "order_id": s1, "price": "101", "quantity": "4"},
        {"command": "reduce", **client, "command_id": "r1", "order_id": s1, "quantity": "1"},
        new | {"command": "replace", "command_id": "p1", "order_id": s1},
        {"command": "cancel", **client, "command_id": "c1", "order_id": s2},
        {"command": "halt", **market, "command_id": "h1"},
        {"command": "snapshot", **market, "command_id": "b1"},
        {"command": "resume", **market, "command_id": "o1"},
        {"command": "set_fees", **market, "command_id": "f1", "fees": {"maker": "-1", "taker": "2.5"}},
        BUY | {"client_order_id": "b9", "price": "102", "quantity": "1"},
        {"command": "bust", **market, "command_id": "u1", "trade_id": "BTC-USD-1", "reason": "an error"},
        {"command": "engine_version", **market, "command_id": "e1", "version": 1},
        {"command": "mass_cancel", **client, "command_id": "m1", "side": "sell"},
        {"command": "tick", **market},
    ]
    assert {command["command"] for command in day} == set(COMMAND_WORDS.values())
    reports = replayed(*day)

    assert [report["command"] for report in reports] == [command["command"] for command in day]
    assert {report["outcome"] for report in reports} == {"accepted"}
    told = [
        (o["order_id"], o["status"], o["remaining_quantity"]) for report in reports for o in report.get("orders", [])
    ]
    assert told == [
        (s1, "new", "2.0"),
        (s2, "new", "2.0"),
        (s1, "new", "4.0"),
        (s1, "new", "3.0"),
        (s1, "canceled", "3.0"),
        (s3, "new", "3.0"),
        (s2, "canceled", "2.0"),
        (b9, "filled", "0.0"),
        (s3, "partially_filled", "2.0"),
        (s3, "canceled", "2.0"),
    ]
    snapshot = reports[8]
    assert snapshot["levels"] == [{"side": "sell", "price": "102.00", "quantity": "3.0", "orders": 1}]
    assert [report.get("market_status") for report in reports if "market_status" in report] == [
        "open",
        "halted",
        "open",
    ]
