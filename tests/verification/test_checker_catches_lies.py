"""The checker must fail on what is wrong: an honest venue passes, and each lie is caught with the right sentence."""

from collections.abc import Callable
from copy import deepcopy
from uuid import UUID

import pytest
from msgspec.structs import replace

from app.kafka.reading import LogRecord
from app.models import identity
from app.verification.ledger import Entry, Kind, Outcome
from load.hostile import other_body
from load.request import Terms, place
from tests.verification import honest
from tests.verification.honest import Telling


@pytest.fixture(scope="module")
def truth() -> Telling:
    """A few hundred requests, honestly answered: a lie is one, and each verdict reads them all."""
    return honest.telling(count=400)


@pytest.mark.parametrize("profile", ["crossing", "one-price", "sweep"])
async def test_an_honest_venue_is_found_right(profile: str) -> None:
    """All six checks agree and have compared something."""
    verdict = await honest.telling(profile, seed=5, count=1_000).judged()
    assert verdict.is_right, verdict.as_text()
    assert {finding.check for finding in verdict.findings} == {"O1", "O2", "O3", "O4", "O5", "O6"}
    assert all(finding.compared for finding in verdict.findings)


async def test_honest_repeats_in_the_topics_are_no_lie(truth: Telling) -> None:
    """A worker that starts again sends its reports again, byte for byte."""
    told = deepcopy(truth)
    for topic in (told.executions, told.trades):
        for records in topic.values():
            records.extend(records[: len(records) // 2])
            _renumber(records)
    told.tables = None  # the sink's position would be another
    verdict = await told.judged()
    assert verdict.is_right, verdict.as_text()


def _renumber(records: list[LogRecord]) -> None:
    records[:] = [record._replace(offset=offset) for offset, record in enumerate(records)]


def _edit(records: list[LogRecord], index: int, old: bytes, new: bytes) -> None:
    value = records[index].value or b""
    assert old in value
    records[index] = records[index]._replace(value=value.replace(old, new, 1))


def _first_trade(told: Telling) -> tuple[list[LogRecord], int]:
    number = next(number for number, records in sorted(told.trades.items()) if len(records) > 2)
    return told.trades[number], 1


def _report_with_trade(told: Telling) -> tuple[list[LogRecord], int]:
    partition, index = honest.reports_of(told)[3]
    return told.executions[partition], index


def drop_a_trade(told: Telling) -> None:
    records, index = _first_trade(told)
    del records[index]


def double_a_trade(told: Telling) -> None:
    """As a venue would that has matched twice: under the next seq."""
    records, _ = _first_trade(told)
    last = records[-1]
    seq = int((last.value or b"").partition(b'"seq":')[2].partition(b",")[0])
    value = (last.value or b"").replace(b"-%d" % seq, b"-%d" % (seq + 1)).replace(b":%d," % seq, b":%d," % (seq + 1))
    records.append(last._replace(offset=len(records), value=value))


def reprice_a_trade(told: Telling) -> None:
    records, index = _first_trade(told)
    _edit(records, index, b'"price":"', b'"price":"1')


def say_filled_too_much(told: Telling) -> None:
    records, index = _report_with_trade(told)
    _edit(records, index, b'"filled_quantity":"', b'"filled_quantity":"1')


def say_another_status(told: Telling) -> None:
    records, index = _report_with_trade(told)
    _edit(records, index, b'"status":"filled"', b'"status":"canceled"')


def enlarge_a_fill(told: Telling) -> None:
    records, index = _report_with_trade(told)
    before, mark, fills = (records[index].value or b"").partition(b'"trades":')
    value = before + mark + fills.replace(b'"quantity":"', b'"quantity":"1', 1)
    records[index] = records[index]._replace(value=value)


def say_another_fee(told: Telling) -> None:
    records, index = _report_with_trade(told)
    _edit(records, index, b'"status":"filled"', b'"status":"filled","fees":"0.01"')


def charge_a_fill(told: Telling) -> None:
    records, index = _report_with_trade(told)
    _edit(records, index, b'"aggressor_side":', b'"seller_fee":"-0.5","aggressor_side":')


def lose_a_report(told: Telling) -> None:
    records, index = _report_with_trade(told)
    del records[index]


def lose_the_last_report(told: Telling) -> None:
    del next(records for records in told.executions.values() if records)[-1]


def repeat_with_other_bytes(told: Telling) -> None:
    records, index = _report_with_trade(told)
    records.append(records[index]._replace(offset=len(records)))
    _edit(records, -1, b'"remaining_quantity":"0.00"', b'"remaining_quantity":"0.01"')


def use_another_key(told: Telling) -> None:
    records, index = _report_with_trade(told)
    records[index] = records[index]._replace(key=b"DOGE-EUR")


def take_a_command_out_of_the_log(told: Telling) -> None:
    del told.orders[0][7]


def delete_a_row(told: Telling) -> None:
    assert told.tables is not None
    del told.tables["orders"][17]


def add_a_row(told: Telling) -> None:
    assert told.tables is not None
    told.tables["trades"].append(told.tables["trades"][3] | {"seq": 999_999})


def change_a_row(told: Telling) -> None:
    assert told.tables is not None
    told.tables["orders"][5]["filled_quantity"] = "99.00"


def forget_the_sinks_position(told: Telling) -> None:
    told.positions[0] -= 1


def record_another_log(told: Telling) -> None:
    """Its rows differ too, because it has recorded other commands."""
    change_a_row(told)
    told.log_ids = dict(told.log_ids) | {0: str(UUID(int=99))}


def claim_a_position_of_another_topic(told: Telling) -> None:
    told.strange_topics = ("clearing",)


def accept_and_lose(told: Telling) -> None:
    request = place(Kind.LIMIT, Terms("ann", "BTC-USD", "buy", "limit", "1.00", "1.00"), "never-sent")
    told.entries.append(Entry(request, Outcome.OK, 201, 1, 0, 1, honest.id_of(request)))


def refuse_and_carry_out(told: Telling) -> None:
    at = next(at for at, entry in enumerate(told.entries) if entry.outcome is Outcome.OK)
    entry = told.entries[at]
    told.entries = [other for other in told.entries if other.request.about != entry.request.about]
    told.entries.append(entry._replace(outcome=Outcome.REFUSED, status=422))


def refuse_a_cancel_and_carry_it_out(told: Telling) -> None:
    at = next(at for at, entry in enumerate(told.entries) if entry.status == 200)
    told.entries[at] = told.entries[at]._replace(outcome=Outcome.REFUSED, status=409)


def accept_a_cancel_and_lose_it(told: Telling) -> None:
    at = next(at for at, entry in enumerate(told.entries) if entry.status == 409)
    told.entries[at] = told.entries[at]._replace(outcome=Outcome.OK, status=200)


def answer_another_id(told: Telling) -> None:
    at = next(at for at, entry in enumerate(told.entries) if entry.outcome is Outcome.OK)
    other = identity.id_text(identity.order_id("bob", "BTC-USD", "other"))
    told.entries[at] = told.entries[at]._replace(answered_id=other)


def accept_another_order_under_a_used_key(told: Telling) -> None:
    """And the log has no second command that the engine could have refused."""
    refused = {entry.request.about for entry in told.entries if entry.outcome is Outcome.REFUSED}
    entry = next(
        e for e in told.entries if e.outcome is Outcome.OK and e.request.places and e.request.about not in refused
    )
    told.entries.append(entry._replace(request=other_body(entry.request)))


def accept_nonsense(told: Telling) -> None:
    at = next(at for at, entry in enumerate(told.entries) if entry.request.must_refuse)
    told.entries[at] = told.entries[at]._replace(outcome=Outcome.OK, status=201)


def make_another_order_than_asked(told: Telling) -> None:
    at = next(at for at, entry in enumerate(told.entries) if entry.request.kind is Kind.LIMIT)
    entry = told.entries[at]
    assert b'"quantity"' in entry.request.body
    body = entry.request.body.replace(b"buy", b"SIDE").replace(b"sell", b"buy").replace(b"SIDE", b"sell")
    body = body.replace(b"BUY", b"SIDE").replace(b"SELL", b"BUY").replace(b"SIDE", b"SELL")
    told.entries = [other for other in told.entries if other.request.about != entry.request.about]
    told.entries.append(entry._replace(request=entry.request._replace(body=body)))


def show_a_wrong_level(told: Telling) -> None:
    assert told.books is not None
    name, book = next((name, book) for name, book in told.books.items() if book.asks)
    best = replace(book.asks[0], orders=book.asks[0].orders + 1)
    told.books[name] = replace(book, asks=[best, *book.asks[1:]])


LIES: list[tuple[Callable[[Telling], None], str, str]] = [
    (drop_a_trade, "O2", "jumps from seq 0 to 2"),
    (double_a_trade, "O2", "but ends before by the log"),
    (reprice_a_trade, "O2", 'price is "1'),
    (say_filled_too_much, "O2", 'filled_quantity is "1'),
    (say_another_status, "O2", 'status is "canceled", but should be "filled"'),
    (enlarge_a_fill, "O2", 'trades[0].quantity is "1'),
    (lose_a_report, "O2", "jumps from seq"),
    (lose_the_last_report, "O1", "it lost its end"),
    (repeat_with_other_bytes, "O2", "is repeated with other bytes"),
    (use_another_key, "O2", "has the key b'DOGE-EUR'"),
    (take_a_command_out_of_the_log, "O2", "by the log"),
    (delete_a_row, "O4", "Postgres orders: no row for"),
    (add_a_row, "O4", "Postgres trades: "),
    (change_a_row, "O4", "filled_quantity is '99.00', by the log"),
    (forget_the_sinks_position, "O4", "by the log"),
    (
        record_another_log,
        "O1",
        "executions[0] is of the log 00000000-0000-0000-0000-000000000063, orders[0] of 00000000",
    ),
    (claim_a_position_of_another_topic, "O1", "sink_progress: has a position of clearing, which does not exist"),
    (accept_and_lose, "O5", "201 for the order"),
    (refuse_and_carry_out, "O5", "but it was made"),
    (answer_another_id, "O5", "names"),
    (accept_another_order_under_a_used_key, "O5", "but the engine never refused it"),
    (accept_nonsense, "O5", "for a request that must be refused"),
    (make_another_order_than_asked, "O5", "but the request was"),
    (show_a_wrong_level, "O3", ": asks[0].orders is "),
]


@pytest.mark.parametrize(("lie", "check", "sentence"), LIES, ids=lambda value: getattr(value, "__name__", None))
async def test_a_lie_is_caught_with_the_right_sentence(
    lie: Callable[[Telling], None], check: str, sentence: str, truth: Telling
) -> None:
    """The first check that complains is the right one, and what it says leads to the place."""
    told = deepcopy(truth)
    lie(told)
    verdict = await told.judged()
    assert not verdict.is_right
    assert verdict.first is not None
    assert verdict.first.startswith(f"{check}: ")
    assert sentence in verdict.first


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        (say_filled_too_much, "has quantity 0.27, but filled 10.27 + remaining 0.00"),
        (say_another_status, "is canceled with 0.00 remaining"),
        (enlarge_a_fill, "its trades add up to"),
        (say_another_fee, "has fees 0.01, but its trades add up to 0"),
        (charge_a_fill, "has fees 0, but its trades add up to -0.5"),
    ],
)
async def test_reports_that_do_not_add_up_are_found_without_any_engine(
    lie: Callable[[Telling], None], sentence: str, truth: Telling
) -> None:
    """O6 alone would see what both engines might have in common."""
    told = deepcopy(truth)
    lie(told)
    conservation = (await told.judged()).findings[-1]
    assert conservation.check == "O6"
    assert sentence in (conservation.first or "")


@pytest.mark.parametrize(
    ("lie", "sentence"),
    [
        (refuse_a_cancel_and_carry_it_out, "O5: 409 for the cancel of "),
        (accept_a_cancel_and_lose_it, "O5: 200 for the cancel of "),
    ],
)
async def test_a_wrong_answer_to_a_cancel_is_caught(lie: Callable[[Telling], None], sentence: str) -> None:
    """A cancel may come too late or not: its own report says which."""
    told = honest.telling("one-price")
    verdict = await told.judged(naive=False)
    assert verdict.is_right, verdict.as_text()
    lie(told)
    verdict = await told.judged(naive=False)
    assert verdict.first is not None and verdict.first.startswith(sentence), verdict.as_text()


async def test_an_acceptance_that_only_the_engine_could_refuse_is_counted() -> None:
    """A gateway that does not know a key's first order leaves the second to the engine: not wrong, but said."""
    told = honest.telling()
    at = next(
        at
        for at, entry in enumerate(told.entries)
        if entry.request.kind is Kind.HOSTILE and entry.request.places and not entry.request.must_refuse
    )
    entry = told.entries[at]
    told.entries[at] = entry._replace(outcome=Outcome.OK, status=201, answered_id=honest.id_of(entry.request))
    verdict = await told.judged()
    assert verdict.is_right, verdict.as_text()
    assert "equal; 1 x 201 for an order that the engine then refused" in verdict.as_text()
