"""Which processes hold a role's consumer group: whether its workers are up."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.settings import Role


def group_of(role: Role) -> str:
    """The name of a role's consumer group, which is the Faust app's."""
    return f"matchstream-{role}"


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
