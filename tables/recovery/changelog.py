"""The records of a changelog partition, and how a worker turns them into the state that it starts from.

Snapshots have keys `X@o`, their chunks `X@o/i`, blocks `X#k`, for the subject X (a book, the rejections of a partition,
the bars of a market). The manifest, `_manifest@floor`, names the newest snapshot of each subject; the floor is the
lowest offset of the source that no snapshot covers. All but the manifest are immutable: the offset or number in the key
determines the value, so every worker writes the same bytes at any time (docs/EXACTNESS.md, I5).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from app.models.undecodable import UNDECODABLE

MANIFEST = "_manifest"
MAX_PARSED = 8_192  # size of the cache of parsed keys: each checkpoint parses all live ones
# An offset has at most 19 digits, and Python refuses to parse a number of 5,000 digits.
_KEY = re.compile(rb"(?P<name>[A-Za-z0-9._:-]+)(@(?P<offset>\d{1,19})(/(?P<chunk>\d{1,19}))?|#(?P<block>\d{1,19}))")
Offset = Annotated[int, Meta(ge=0)]


class Damaged(RuntimeError):
    """Durable state that a manifest or snapshot refers to is missing or unreadable; the message says what to do."""


class OtherLog(RuntimeError):
    """The changelog belongs to another `orders` log (docs/EXACTNESS.md, I14); the message says what to do."""


class Named(NamedTuple):
    """The newest acknowledged snapshot of a subject, and the offset from which to read its later outputs."""

    offset: int
    seq: int
    outputs: int


class Manifest(Struct, frozen=True, rename={"outputs": "executions"}):
    """`floor` is the lowest offset of the source that no snapshot covers; `named` gives [offset, seq, outputs].

    `outputs` is an offset below which no output belongs to a subject that is not named. Its name in the changelog is
    that of the first table's outputs.
    """

    floor: Offset
    log_id: str
    named: dict[str, tuple[Offset, Offset, Offset]]
    outputs: Offset = 0


class Fence(NamedTuple):
    """End offsets, queried in this order: an output below `outputs` belongs to an event below `source`."""

    outputs: int
    source: int


class Key(NamedTuple):
    """A parsed changelog key."""

    name: str
    offset: int | None
    chunk: int | None
    block: int | None


class Loaded(NamedTuple):
    """The state that a worker starts from. The caller's codec decodes `states` and `blocks`; `keys` are all live keys.

    `outputs` is an offset below which no output belongs to a subject without a snapshot.
    `records` are the encoded manifest, snapshots and blocks behind this state.
    `unusable` are keys of records that no worker wrote; no manifest or snapshot refers to them.
    """

    floor: int
    outputs: int
    named: dict[str, Named]
    states: dict[str, Any]
    blocks: dict[str, dict[int, Any]]
    keys: frozenset[bytes]
    fence: Fence
    records: dict[bytes, bytes]
    unusable: tuple[bytes, ...]

    @property
    def first_output(self) -> int:
        """The offset from which a reader of the outputs continues with these states: they include every one below."""
        return min([self.outputs, *(named.outputs for named in self.named.values())])


class Codec(NamedTuple):
    """How to decode a table's values. `state` raises ValueError for a snapshot that is damaged or of another log.

    state(head, chunk) -> object with offset, seq, first_block and end_block, where chunk(i) is chunk i's value or None;
    block(value) -> the block's content; raises ValueError.
    """

    state: Callable[[bytes, Callable[[int], bytes | None]], Any]
    block: Callable[[bytes], Any]


_encode = msgspec.json.Encoder().encode
decode_manifest = msgspec.json.Decoder(Manifest).decode


def snapshot_key(name: str, offset: int, chunk: int | None = None) -> bytes:
    return f"{name}@{offset}".encode() if chunk is None else f"{name}@{offset}/{chunk}".encode()


def records_of_snapshot(
    name: str, offset: int, head: bytes, chunks: Iterable[bytes]
) -> list[tuple[bytes, bytes | None]]:
    """The records of a snapshot: its chunks, then the head, which makes it valid."""
    records: list[tuple[bytes, bytes | None]] = [
        (snapshot_key(name, offset, i), chunk) for i, chunk in enumerate(chunks)
    ]
    return [*records, (snapshot_key(name, offset), head)]


def block_key(name: str, number: int) -> bytes:
    return f"{name}#{number}".encode()


def manifest_key(floor: int) -> bytes:
    return f"{MANIFEST}@{floor}".encode()


def manifest_value(floor: int, log_id: str, named: Mapping[str, Named], outputs: int) -> bytes:
    three = {name: (n.offset, n.seq, n.outputs) for name, n in sorted(named.items())}
    return _encode(Manifest(floor, log_id, three, outputs))


@lru_cache(maxsize=MAX_PARSED)
def parse(key: bytes) -> Key | None:
    """Parse a key; None if no worker writes such keys."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    number = {part: int(text) if (text := match[part]) is not None else None for part in ("offset", "chunk", "block")}
    return Key(match["name"].decode(), **number)


def fold(records: Iterable[tuple[bytes, bytes | None]], latest: dict[bytes, bytes]) -> None:
    """Update `latest`, the latest value of each key, as Kafka's compaction does."""
    for key, value in records:
        if value is None:
            latest.pop(key, None)
        else:
            latest[key] = value


def interpret(latest: Mapping[bytes, bytes], codec: Codec, log_id: str, fence: Fence) -> Loaded:
    """The state to start from: the greatest manifest's floor, and each subject's newest valid snapshot.

    Raises Damaged when a record is missing to which the manifest or a snapshot refers (docs/EXACTNESS.md, I11).
    """
    floor, outputs, named = _newest_manifest(latest, log_id)
    states = newest_states(latest, codec)
    for name, promised in named.items():
        if name not in states or states[name].offset < promised.offset:
            raise Damaged(f"the manifest at {floor} names {name}@{promised.offset}, which is not in the changelog")
    blocks = {name: _blocks(latest, codec, name, state) for name, state in states.items()}
    start = {name: named[name].outputs if name in named else outputs for name in states}
    loaded = {name: Named(state.offset, state.seq, start[name]) for name, state in states.items()}
    live = dict(_live(latest, floor, states))
    unusable = tuple(_unusable(latest, floor, states))
    return Loaded(floor, outputs, loaded, states, blocks, frozenset(latest), fence, live, unusable)


def obsolete(
    keys: Iterable[bytes], floor: int, named: Mapping[str, Named], first: Mapping[str, int]
) -> Iterator[bytes]:
    """The keys that the named snapshots have superseded; never a newer key, which another owner may be writing."""
    for text in keys:
        key = parse(text)
        if key is None:
            continue
        if key.name == MANIFEST:
            dead = key.offset is not None and key.offset < floor
        elif key.block is not None:
            dead = key.block < first.get(key.name, 0)
        else:
            dead = key.offset is not None and key.name in named and key.offset < named[key.name].offset
        if dead:
            yield text


def _newest_manifest(latest: Mapping[bytes, bytes], log_id: str) -> tuple[int, int, dict[str, Named]]:
    """The readable manifest with the greatest floor. Workers write only readable ones, so skip the rest."""
    floors = sorted((key.offset or 0 for text in latest if (key := parse(text)) and key.name == MANIFEST), reverse=True)
    manifest = next((found for floor in floors if (found := _manifest(latest, floor))), None)
    if manifest is None:
        if floors:
            raise Damaged(f"the manifest {manifest_key(floors[0]).decode()} cannot be read")
        return 0, 0, {}
    if manifest.log_id != log_id:
        raise OtherLog(
            f"the changelog is that of another orders log ({manifest.log_id}, this is {log_id}): the topics were "
            "recreated or mixed; restore those that belong together, or remove all of them and the database"
        )
    return manifest.floor, manifest.outputs, {name: Named(*three) for name, three in manifest.named.items()}


def _manifest(latest: Mapping[bytes, bytes], floor: int) -> Manifest | None:
    try:
        manifest = decode_manifest(latest.get(manifest_key(floor), b""))
    except UNDECODABLE:
        return None
    return manifest if manifest.floor == floor else None


def newest_states(latest: Mapping[bytes, bytes], codec: Codec) -> dict[str, Any]:
    """The newest valid snapshot of each subject."""
    heads: dict[str, list[int]] = {}
    for text in latest:
        key = parse(text)
        if key and key.name != MANIFEST and key.offset is not None and key.chunk is None:
            heads.setdefault(key.name, []).append(key.offset)
    states = {
        name: _newest_valid(latest, codec, name, sorted(offsets, reverse=True)) for name, offsets in heads.items()
    }
    return {name: state for name, state in states.items() if state is not None}


def _newest_valid(latest: Mapping[bytes, bytes], codec: Codec, name: str, offsets: list[int]) -> Any:
    for offset in offsets:
        try:
            return codec.state(latest[snapshot_key(name, offset)], partial(_chunk, latest, name, offset))
        except ValueError:
            continue
    return None


def _chunk(latest: Mapping[bytes, bytes], name: str, offset: int, number: int) -> bytes | None:
    return latest.get(snapshot_key(name, offset, number))


def _live(latest: Mapping[bytes, bytes], floor: int, states: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for text, value in latest.items():
        key = parse(text)
        if key is None or (key.name != MANIFEST and key.name not in states):
            continue
        if key.name == MANIFEST:
            is_live = key.offset == floor
        elif key.block is not None:
            is_live = states[key.name].first_block <= key.block < states[key.name].end_block
        else:
            is_live = key.offset == states[key.name].offset
        if is_live:
            yield text, value


def _unusable(latest: Mapping[bytes, bytes], floor: int, states: Mapping[str, Any]) -> Iterator[bytes]:
    """Keys that no worker writes, and manifests and snapshots that are newer than the newest usable one."""
    for text in latest:
        key = parse(text)
        if key is None:
            yield text
        elif key.offset is not None and key.chunk is None:
            newest = floor if key.name == MANIFEST else states[key.name].offset if key.name in states else -1
            if key.offset > newest:
                yield text


def _blocks(latest: Mapping[bytes, bytes], codec: Codec, name: str, state: Any) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for number in range(state.first_block, state.end_block):
        value = latest.get(block_key(name, number))
        if value is None:
            raise Damaged(f"{name}@{state.offset} needs the block {name}#{number}, which is not in the changelog")
        try:
            found[number] = codec.block(value)
        except ValueError as error:
            raise Damaged(f"the block {name}#{number} cannot be read: {error}") from error
    return found
