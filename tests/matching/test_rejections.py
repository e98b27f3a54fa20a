"""The reserved instrument of a partition: what belongs to nobody is reported all the same."""

from app.matching.commands import Moment
from app.matching.rejections import MAX_RAW_BYTES, Rejections, RejectionsState
from app.matching.words import Reason
from app.naive.matching import NaiveRejections

RECORDS = [
    (Reason.MALFORMED_COMMAND, b"nonsense", Moment(3, 50), 1),
    (Reason.KEY_MISMATCH, b"\xff{}", Moment(4, 40), 1),
    (Reason.UNKNOWN_INSTRUMENT, b"x" * (MAX_RAW_BYTES + 1), Moment(9, 60), 1),
    (Reason.WRONG_PARTITION, b"", Moment(10, 61), 1),
]


def test_records_that_belong_to_nobody_are_reported_with_a_dense_seq() -> None:
    """As the naive engine does: the clock never goes back, the beginning of the record is given as text."""
    rejections, naive = Rejections(7), NaiveRejections(7)
    reports = [rejections.reject(*record) for record in RECORDS]
    assert reports == [naive.reject(*record) for record in RECORDS]
    assert [(report.seq, report.offset, report.time_ms) for report in reports] == [
        (1, 3, 50),
        (2, 4, 50),
        (3, 9, 60),
        (4, 10, 61),
    ]
    assert {report.instrument for report in reports} == {"_partition-7"}
    assert [report.raw for report in reports] == ["nonsense", "\ufffd{}", "x" * 1_024, ""]
    assert {(report.parts, report.engine_version, report.command_id) for report in reports} == {(1, 1, None)}


def test_they_go_on_from_their_state() -> None:
    """At every cut point; before the first record nothing has been seen, and there are no ids."""
    assert Rejections(7).state() == RejectionsState("_partition-7", -1, 0, 0)
    for cut in range(len(RECORDS)):
        straight, rejections = Rejections(7), Rejections(7)
        for record in RECORDS[:cut]:
            straight.reject(*record)
            rejections.reject(*record)
        state = rejections.state()
        assert (state.first_block, state.end_block) == (0, 0)
        restored = Rejections.restore(state)
        assert [restored.reject(*r) for r in RECORDS[cut:]] == [straight.reject(*r) for r in RECORDS[cut:]]
        assert restored.state() == straight.state()
