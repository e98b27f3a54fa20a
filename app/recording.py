"""What the agents that write to Postgres share: where each continues in its topic, and what ends them."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from app.kafka.administration import require_topics
from app.kafka.genesis import WrongTopic
from app.kafka.reading import bounds
from app.models.commands import Genesis
from app.postgres import AnotherInstallation, AnotherTime, PositionMoved, Recorded, Refused, require_bounds
from app.streaming.failstop import end_process

Start = Callable[[dict[int, Genesis]], Awaitable[dict[int, int]]]
"""The partitions' genesis records -> the positions that Postgres has."""


async def positions_in_postgres(broker: str, partitions: int, topic: str, start: Start) -> dict[int, int]:
    """The positions that `start` returns; end the process if the log lacks them (docs/EXACTNESS.md, I9, I14)."""
    try:
        genesis = await require_topics(broker, partitions)
        positions = await start(genesis)
        recorded = {number: Recorded(position, genesis[number].log_id) for number, position in positions.items()}
        require_bounds(topic, recorded, await bounds(broker, topic, positions))
    except (AnotherInstallation, AnotherTime, Refused, WrongTopic) as error:
        end_process(str(error))
    return positions


def log_ids_of(genesis: Mapping[int, Genesis], assigned: Iterable[int]) -> dict[int, str]:
    """The identity of each assigned partition that the venue has."""
    return {number: genesis[number].log_id for number in sorted(assigned) if number in genesis}


@contextmanager
def ending_when_refused() -> Iterator[None]:
    """End the process if Postgres refuses what it is asked, or if somebody else moved our position."""
    try:
        yield
    except (PositionMoved, Refused) as error:
        end_process(str(error))
