"""Let a worker rejoin its consumer group in the same slot with another web address.

Kafka gives a slot that rejoins its group the cached assignment. Faust asserts that the web address in it is the
worker's own, and hangs if the port has changed since. Nothing uses that address, so we overwrite it.
"""

from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor


class SlotAssignor(PartitionAssignor):
    """Accepts an assignment that was made for an earlier address of this slot."""

    def on_assignment(self, assignment: Any) -> None:
        metadata: Any = ClientMetadata.loads(self._decompress(assignment.user_data))
        metadata.url = str(self._url)
        user_data = self._compress(metadata.dumps())
        super().on_assignment(ConsumerProtocolMemberAssignment(assignment.version, assignment.assignment, user_data))
