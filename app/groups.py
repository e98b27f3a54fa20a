"""A role's consumer group: which processes hold it, whether its workers are up, and what it has committed."""

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.settings import Role


def group_of(role: Role) -> str:
    """The name of a role's consumer group, which is the Faust app's."""
    return f"matchstream-{role}"


async def committed(broker: str, role: Role) -> dict[TopicPartition, int]:
    """The positions that a role's group has committed: hints, which nobody starts from."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group_of(role))
        return {where: position.offset for where, position in found.items()}
    finally:
        await admin.close()


async def members(broker: str, role: Role) -> list[str]:
    """The members of a role's group as Kafka knows them; a killed one is known until its session ends."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        (response,) = await admin.describe_consumer_groups([group_of(role)])
    except GroupCoordinatorNotAvailableError:
        return []  # no group has ever been used here
    else:
        return [member[0] for group in response.groups for member in group[5]]
    finally:
        await admin.close()
