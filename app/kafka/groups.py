"""Query a role's consumer group: its members and its committed offsets."""

import asyncio
import time

from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code

from app.configuration import Role
from app.kafka.admin import connected_admin

SETTLED_TIMEOUT_S = 30.0
RETRY_S = 0.2


def group_of(role: Role) -> str:
    """The name of a role's consumer group, which is the Faust app's."""
    return f"matchstream-{role}"


async def committed(broker: str, role: Role) -> dict[TopicPartition, int]:
    """The positions that a role's group has committed: only hints, because no worker starts from them."""
    async with connected_admin(broker) as admin:
        found = await admin.list_consumer_group_offsets(group_of(role))
    return {where: position.offset for where, position in found.items()}


async def members(broker: str, role: Role) -> list[str]:
    """The members of a role's group; Kafka still lists a killed one until its session ends.

    Raises KafkaError when Kafka cannot tell within SETTLED_TIMEOUT_S.
    """
    give_up = time.monotonic() + SETTLED_TIMEOUT_S
    async with connected_admin(broker) as admin:
        while True:
            try:
                (response,) = await admin.describe_consumer_groups([group_of(role)])
            except GroupCoordinatorNotAvailableError:
                return []  # no group has ever been used here
            ((error, _, _, _, _, found, *_),) = response.groups
            if not error:
                return [member[0] for member in found]
            if time.monotonic() > give_up:
                raise for_code(error)(f"the members of {group_of(role)} are not known")
            await asyncio.sleep(RETRY_S)  # a broker that has just started is still loading its groups
