"""Compare every record of a changelog partition with a replay of the log at the same offset (O3, O9), for any table."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
from aiokafka import TopicPartition

from app.configuration import Role
from app.kafka.groups import committed
from app.kafka.reading import connected_reader
from app.models.sealed import DIGEST_BYTES as SEAL_BYTES
from app.models.sealed import DamagedSnapshot
from app.models.undecodable import UNDECODABLE
from app.verification.effective import difference
from app.verification.findings import Finding, Findings
from tables.recovery.around import Around
from tables.recovery.changelog import (
    MANIFEST,
    Codec,
    Damaged,
    Fence,
    Key,
    Manifest,
    OtherLog,
    block_key,
    decode_manifest,
    fold,
    interpret,
    parse,
    snapshot_key,
)
from tables.recovery.checkpoint import Frozen, Record
from tables.recovery.loader import to_moving_end
from tables.recovery.ports import KafkaLogs

DIGEST_BYTES = 8


class Replayed(Protocol):
    """The subjects of a partition in the replay, as they are now."""

    def reached(self) -> Mapping[str, int]:
        """Each subject's last offset."""

    def seq(self, name: str) -> int:
        """The seq of a subject."""

    def end_block(self, name: str) -> int:
        """How many complete blocks a subject has had."""

    def block_value(self, name: str, number: int) -> bytes:
        """A complete block."""

    def freeze(self, name: str) -> Frozen:
        """A subject's state, as `state`, and its snapshot."""


async def read_states(broker: str, around: Around, states: "ChangelogStates") -> "ChangelogStates":
    """Read the states' partition as the loader reads it."""
    async with connected_reader(broker) as reader:
        async for records in to_moving_end(KafkaLogs(reader, around, states.number)):
            states.read(records)
    states.all_read()
    return states


def states_in_kafka(
    broker: str, role: Role, around: Around, states_of: Callable[[int, str, Findings], "ChangelogStates"]
) -> Callable[[int, str, Findings], Awaitable["ChangelogStates"]]:
    """The function with which app.verification reads a table to verify it: its changelog, and its group's position."""

    async def of_partition(number: int, log_id: str, findings: Findings) -> ChangelogStates:
        position = (await committed(broker, role)).get(TopicPartition(around.source, number), 0)
        states = await read_states(broker, around, states_of(number, log_id, findings))
        states.committed(position)
        return states

    return of_partition


class ChangelogStates:
    """All records of one partition, including those of former owners; superseded records are kept as digests only.

    With `live_only`, only the latest value of each key, which is all that a worker uses. `view` shows what a replay has
    come to. Sentences call the changelog `name`, and the topic to which manifests send readers `outputs`.
    """

    def __init__(
        self,
        number: int,
        log_id: str,
        findings: Findings,
        codec: Codec,
        view: Callable[[Any], Replayed],
        live_only: bool = False,
        name: str = "changelog",
        outputs: str = "executions",
    ) -> None:
        self.number, self._live_only, self._codec, self._view = number, live_only, codec, view
        self._name, self._log_id, self._outputs = f"{name}[{number}]", log_id, outputs
        self._finding: Finding = findings.states
        self._origin: Finding = findings.origin
        self._latest: dict[bytes, bytes] = {}
        self._digests: dict[bytes, bytes] = {}
        self._snapshots: dict[str, set[int]] = {}
        self._manifests: deque[tuple[int, bytes]] = deque()
        self._named_seqs: dict[tuple[str, int], int] = {}
        self._fences: dict[tuple[str, int], int] = {}
        self._beginnings: list[tuple[int, frozenset[str]]] = []
        self._last_fence = 0
        self._covered: dict[str, int] = {}
        self._floor = 0
        self._blocks: dict[str, int] = {}
        self._next_offset = 0

    # Reading

    def read(self, records: Iterable[Record]) -> None:
        """Take the next records of the changelog."""
        records = list(records)
        fold(records, self._latest)
        if not self._live_only:
            self._take_all(records)

    def all_read(self) -> None:
        """After the last record: check with the worker's own code that a worker could start from this changelog."""
        if self._live_only:
            self._take_all(self._latest.items())
        self._manifests = deque(sorted(self._manifests))
        try:
            interpret(self._latest, self._codec, self._log_id, Fence(0, 0))
        except Damaged as damage:
            self._complain(str(damage))
        except OtherLog as other:
            self._origin.complain(f"{self._name}: {other}")

    def committed(self, position: int) -> None:
        """Check that snapshots cover the group's position (I4). The caller queries it before reading the changelog."""
        if position > self._floor:
            self._complain(f"the group has committed {position}, the manifests continue at {self._floor}")

    def _take_all(self, records: Iterable[Record]) -> None:
        for text, value in records:
            key = parse(text)
            if key is None:
                self._complain(f"has the key {text!r}, which is none of ours")
            elif value is not None:
                self._take(text, key, value)

    def _take(self, text: bytes, key: Key, value: bytes) -> None:
        self._finding.compared += 1
        if key.name == MANIFEST:
            self._take_manifest(text, key.offset or 0, value)
            return
        digest = _digest(value)
        if self._digests.setdefault(text, digest) != digest:
            self._complain(f"{text.decode()} was written twice, with different content")
        if key.offset is not None:
            self._snapshots.setdefault(key.name, set()).add(key.offset)
            if key.chunk is None:
                self._covered[key.name] = max(key.offset, self._covered.get(key.name, 0))

    def _take_manifest(self, text: bytes, floor: int, value: bytes) -> None:
        manifest = self._manifest(text, value)
        if manifest is None:
            return
        self._manifests.append((floor, value))
        self._floor = max(self._floor, floor)
        self._origin.compared += 1
        if manifest.log_id != self._log_id:
            said = f"{self._name}: {text.decode()} is of the log {manifest.log_id}"
            self._origin.complain(f"{said}, orders of {self._log_id}: these are two installations")
        if manifest.floor != floor:
            self._complain(f"{text.decode()} says floor {manifest.floor}")
        self._beginnings.append((manifest.outputs, frozenset(manifest.named)))
        self._last_fence = max(self._last_fence, manifest.outputs)
        for name, (offset, seq, executions) in manifest.named.items():
            self._last_fence = max(self._last_fence, executions)
            if executions < manifest.outputs:
                said = f"sends readers of {name} to {self._outputs} {executions}, of what it does not name to"
                self._complain(f"{text.decode()} {said} {manifest.outputs}, which cannot be above")
            if self._named_seqs.setdefault((name, offset), seq) != seq:
                self._complain(f"{text.decode()} names {name}@{offset} with seq {seq}, another manifest did not")
            self._fences[name, seq] = max(executions, self._fences.get((name, seq), 0))

    def _manifest(self, text: bytes, value: bytes) -> Manifest | None:
        try:
            return decode_manifest(value)
        except UNDECODABLE as error:
            self._complain(f"{text.decode()} cannot be read: {error}")
            return None

    @property
    def keys(self) -> set[bytes]:
        """All live keys."""
        return set(self._latest)

    @property
    def has_manifest(self) -> bool:
        """Whether the changelog has a manifest: the record that names the newest snapshots."""
        return any(text.startswith(MANIFEST.encode()) for text in self._latest)

    # Comparing

    def before(self, offset: int, partition: Any) -> None:
        """Check manifests whose floor is reached: the snapshots that they name must include every command below it."""
        while self._manifests and self._manifests[0][0] <= offset:
            floor, value = self._manifests.popleft()
            self._covers(decode_manifest(value), floor, self._view(partition))
        self._next_offset = offset + 1

    def after(self, instrument: str, offset: int, partition: Any) -> None:
        """Check the instrument's snapshots at this offset, and the id blocks that the command has completed."""
        replayed = self._view(partition)
        if offset in self._snapshots.get(instrument, ()):
            self._snapshots[instrument].discard(offset)
            self._compare_snapshot(instrument, offset, replayed)
        seq = self._named_seqs.pop((instrument, offset), None)
        if seq not in (None, right := replayed.seq(instrument)):
            self._complain(f"a manifest names {instrument}@{offset} with seq {seq}, by the log it is {right}")
        begin, end = self._blocks.get(instrument, 0), replayed.end_block(instrument)
        for number in range(begin, end):
            key, block = block_key(instrument, number), replayed.block_value(instrument, number)
            if not self._is_equal(key, block):
                self._complain(f"the id block {key.decode()}: {self._block_differs(key, block)}")
        self._blocks[instrument] = end

    def heard(self, instrument: str, seq: int, offset: int) -> None:
        """Check that no manifest makes readers skip a report that their snapshot lacks (docs/EXACTNESS.md, I11)."""
        if seq == 1:
            fence = max((begin for begin, named in self._beginnings if instrument not in named), default=0)
        else:
            fence = self._fences.pop((instrument, seq - 1), 0)
        if fence > offset:
            said = f"sends readers of {instrument} that have seq {seq - 1} to {self._outputs} {fence}"
            self._complain(f"a manifest {said}, the next report is at {offset}")

    def cover(self, instrument: str, offset: int) -> bool:
        """Whether a snapshot or a manifest's floor lies above this command."""
        return offset < self._floor or offset <= self._covered.get(instrument, -1)

    def end(self, partition: Any, outputs: int) -> None:
        """After the last command: report records that match no command, and readers sent beyond `outputs`."""
        end = self._next_offset
        if self._last_fence > outputs:
            self._complain(f"a manifest sends readers to {self._outputs} {self._last_fence}, which end at {outputs}")
        self.before(end, partition)
        for floor, _ in self._manifests:
            said = f"a manifest continues at {floor}, the commands end at {end}"
            self._origin.complain(f"{self._name}: {said}: orders lost its end")
        for text in sorted(self._digests):
            self._complain(f"{text.decode()} is there, and by the log nothing is")
        for name, offset in sorted(self._named_seqs):
            self._complain(f"a manifest names {name}@{offset}, where the log has no command of it")

    def _covers(self, manifest: Manifest, floor: int, replayed: Replayed) -> None:
        for name, offset in replayed.reached().items():
            covered = manifest.named[name][0] if name in manifest.named else -1
            if offset > covered:
                self._complain(f"the manifest at {floor} covers {name} up to {covered}, its command {offset} is below")

    def _compare_snapshot(self, instrument: str, offset: int, replayed: Replayed) -> None:
        frozen: Any = replayed.freeze(instrument)
        is_live = snapshot_key(instrument, offset) in self._latest
        for text, value in frozen.snapshot_records(instrument):
            assert value is not None, "a snapshot is no tombstone"
            if not self._is_equal(text, value):
                self._complain(f"{text.decode()}: {self._what_differs(frozen.state)}")
            elif is_live and text not in self._latest:
                self._complain(f"{instrument}@{offset} has lost its chunk {text.decode()}")

    def _is_equal(self, text: bytes, right: bytes) -> bool:
        """Whether the record is absent or correct. Drops its digest: each record is compared once."""
        return self._digests.pop(text, None) in (None, _digest(right))

    def _what_differs(self, right: Any) -> str:
        head = self._latest.get(snapshot_key(right.instrument, right.offset))
        if head is None:
            return "was not what the log gives"
        try:
            found = self._codec.state(head, partial(self._chunk, right))
        except DamagedSnapshot as damage:
            return str(damage)
        return f"{difference(_readable(found), _readable(right))} by the log"

    def _block_differs(self, key: bytes, right: bytes) -> str:
        found = self._latest.get(key)
        if found is None:
            return "was not what the log gives"
        return f"{difference(found[SEAL_BYTES:], right[SEAL_BYTES:])} by the log"

    def _chunk(self, state: Any, number: int) -> bytes | None:
        return self._latest.get(snapshot_key(state.instrument, state.offset, number))

    def _complain(self, sentence: str) -> None:
        self._finding.complain(f"{self._name}: {sentence}")


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=DIGEST_BYTES).digest()


def _readable(state: Any) -> bytes:
    """The state as JSON with field names."""
    return msgspec.json.encode(_with_names(state))


def _with_names(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    names: tuple[str, ...] | None = getattr(value, "_fields", None)
    parts = [_with_names(part) for part in value]
    return dict(zip(names, parts, strict=True)) if names else parts
