"""Logs recorded under each engine version: whatever changes, their reports, trades and snapshots keep every byte."""

import json

import pytest

from app.engine import Output, Partition
from app.matching.versions import VERSIONS as VERSIONS_OF_THE_ENGINE
from app.matching.versions import Behaviour
from app.models.commands import Genesis
from app.models.reports import encode
from app.verification.conservation import Conservation
from app.verification.engines import NaiveOutput, NaivePartition
from tables.books.subjects import Subjects, codec
from tests.recorded.market import FOLDER, LOG_ID, Digests, records_of

VERSIONS = sorted(int(path.stem.rpartition("_")[2]) for path in FOLDER.glob("engine_version_*.jsonl"))
RESTART_EVERY = 25


def recorded(version: int) -> dict[str, str]:
    """The digests of the release that first had this version."""
    return json.loads((FOLDER / f"engine_version_{version}.json").read_text())  # type: ignore[no-any-return]


def restarted(partition: Partition, version: int) -> Partition:
    """The partition as another process restores it from its snapshots and the genesis record."""
    subjects, other = Subjects(partition, LOG_ID), Partition(0, 1, Genesis(LOG_ID, version))
    for name in subjects:
        frozen = subjects[name].freeze()
        if frozen.offset >= 0:
            (_, head), *more = frozen.snapshot_records(name)
            assert head is not None and not more, "the snapshot is small"
            blocks = {
                n: codec(LOG_ID).block(frozen.block_value(n)) for n in range(frozen.first_block, frozen.end_block)
            }
            other.restore(codec(LOG_ID).state(head, lambda _: None), blocks)
    return other


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_log_gives_the_recorded_bytes(version: int) -> None:
    """Also when the worker restarts again and again."""
    straight, again, partitions = Digests(), Digests(), [Partition(0, 1), Partition(0, 1)]
    for number, record in enumerate(records_of(version)):
        if number % RESTART_EVERY == 0:
            partitions[1] = restarted(partitions[1], version)
        for digests, partition in zip((straight, again), partitions, strict=True):
            digests.take(partition.apply(*record), partition)

    assert straight.told() == recorded(version)
    assert again.told() == recorded(version)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_naive_engine_gives_the_same(version: int) -> None:
    """It knows the older versions too: it judges old logs in `verify --naive`."""
    fast, naive = Partition(0, 1), NaivePartition(0, 1)
    for record in records_of(version):
        ours, expected = fast.apply(*record), naive.apply(*record)
        assert _values(ours) == _values(expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_recorded_log_gives_adds_up_at_every_point(version: int) -> None:
    """Wherever it ended: also while triggered stops wait for fills, which are open and in no level."""
    partition, conservation = Partition(0, 1), Conservation()
    for record in records_of(version):
        outcome = partition.apply(*record)
        for report in outcome.reports if outcome else ():
            assert list(conservation.hear(report)) == []
        assert list(conservation.end()) == [], f"after offset {record[0]}"


@pytest.mark.parametrize("name", Behaviour._fields)
def test_a_recorded_log_tells_the_versions_apart(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that no recorded log shows could be made to an old version unseen."""
    first = next(version for version in VERSIONS if getattr(VERSIONS_OF_THE_ENGINE[version], name))
    mixed = VERSIONS_OF_THE_ENGINE[first - 1]._replace(**{name: True})
    monkeypatch.setitem(VERSIONS_OF_THE_ENGINE, first - 1, mixed)
    # The first log shows all that version 2 changed; in later ones a market goes back to older versions for a while.
    log = 1 if first == 2 else first
    digests, partition = Digests(), Partition(0, 1)
    for record in records_of(log):
        digests.take(partition.apply(*record), partition)
    assert digests.told() != recorded(log)


def test_every_version_has_a_recorded_log() -> None:
    """Recorded by the release that first had it (tests/README.md)."""
    assert sorted(VERSIONS_OF_THE_ENGINE) == VERSIONS


def _values(outcome: Output | NaiveOutput | None) -> list[bytes]:
    return [encode(report) for report in outcome.reports] if outcome else []
