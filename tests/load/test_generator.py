"""The stream of requests: the same seed gives the same bytes, and its shares are those that it promises."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from app.verification.engines import NaivePartition
from app.verification.ledger import Kind, Request
from load import fixtures
from load.generator import BLOCK, requests
from load.hostile import HOSTILE
from load.profiles import MIXED, PLAIN, PROFILES


def _drawn(name: str, count: int, **how: object) -> list[Request]:
    return list(islice(requests(PROFILES[name], **{"seed": 1, **how}), count))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_seed_gives_the_same_requests_and_another_seed_others(name: str) -> None:
    """A run can be repeated from its seed."""
    assert _drawn(name, 3_000) == _drawn(name, 3_000)
    assert _drawn(name, 3_000) != _drawn(name, 3_000, seed=2)


@pytest.mark.parametrize("name", PROFILES)
def test_every_thousand_requests_have_exactly_the_shares_of_the_mix(name: str) -> None:
    """The share of hostile requests is known, not drawn."""
    stream = _drawn(name, 5 * BLOCK)
    for start in range(0, len(stream), BLOCK):
        kinds = Counter(request.kind for request in stream[start : start + BLOCK])
        assert kinds[Kind.HOSTILE] == MIXED.hostile
        assert kinds[Kind.CANCEL] == MIXED.cancel
        assert kinds[Kind.REPEAT] == MIXED.repeat
        assert kinds[Kind.MARKET] == MIXED.market


def test_market_orders_come_in_one_burst_of_each_thousand() -> None:
    """Bursts are what exhausts books."""
    block = [request.kind for request in _drawn("reference", BLOCK)]
    first = block.index(Kind.MARKET)
    assert block[first : first + MIXED.market] == [Kind.MARKET] * MIXED.market


def test_a_plain_mix_has_nothing_but_new_orders_each_with_a_key_of_its_own() -> None:
    """The assignment's load: every request must be accepted."""
    stream = _drawn("reference", 2_000, mix=PLAIN)
    assert {request.kind for request in stream} == {Kind.LIMIT}
    assert len({request.about for request in stream}) == 2_000


def test_the_reference_profile_stays_in_its_band_on_ten_instruments() -> None:
    """70,000 ± 1,500 and quantities from 0.1 to 2.1."""
    said = [fixtures.body_of(request) for request in _drawn("reference", 5_000, mix=PLAIN)]
    assert len({order["instrument"] for order in said}) == 10
    assert all(68_500 <= float(order["price"]) <= 71_500 for order in said)
    assert all(0.1 <= float(order["quantity"]) <= 2.1 for order in said)


def test_repeats_are_the_earlier_request_and_cancels_name_an_earlier_order() -> None:
    """A repeat has the same key and the same body, byte for byte."""
    earlier: dict[str | None, Request] = {}
    for request in _drawn("one-price", 4_000):
        if request.kind is Kind.REPEAT:
            assert request._replace(kind=earlier[request.about].kind) == earlier[request.about]
        elif request.kind is Kind.CANCEL:
            assert request.about in earlier
        elif request.kind in (Kind.LIMIT, Kind.MARKET):
            earlier[request.about] = request


def test_another_tag_makes_other_orders_of_the_same_shape() -> None:
    """A second run with the same seed on a living venue is no repeat of the first."""
    first, second = _drawn("crossing", 500, mix=PLAIN), _drawn("crossing", 500, mix=PLAIN, tag="again")
    assert [request.body for request in first] == [request.body for request in second]
    assert not {request.about for request in first} & {request.about for request in second}


def test_all_hostile_kinds_appear() -> None:
    """Each kind of nonsense is tried in a stream of ordinary length."""
    bodies = {(request.method, request.path[:24], request.body) for request in _drawn("reference", 50 * BLOCK)}
    for name, make in HOSTILE.items():
        made = make("any")
        assert (made.method, made.path[:24], made.body) in bodies, name


@pytest.mark.parametrize(("name", "trading"), [("crossing", 0.45), ("reference", 0.2), ("book-builder", 0.0)])
def test_orders_of_a_profile_trade_as_its_name_says(name: str, trading: float, tmp_path: Path) -> None:
    """Seen through the naive engine: at least this share of the commands trades, none at all for the book builder."""
    file = tmp_path / "commands.jsonl"
    assert fixtures.write(file, PROFILES[name], 7, 1_000, PLAIN, as_commands=True) == 1_010
    partition, traded = NaivePartition(0, 1), 0
    for offset, line in enumerate(file.read_bytes().splitlines()):
        outcome = partition.apply(offset, offset, json.loads(line)["instrument"].encode(), line)
        traded += outcome is not None and bool(outcome.trades)
    assert traded >= trading * 1_000 if trading else traded == 0


def test_fixtures_keep_bodies_that_are_no_text(tmp_path: Path) -> None:
    """Every request of the stream is a line, hostile ones included."""
    file = tmp_path / "requests.jsonl"
    fixtures.write(file, PROFILES["reference"], 3, 20 * BLOCK, MIXED)
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert len(lines) == 20 * BLOCK
    assert any("body_base64" in line for line in lines)
