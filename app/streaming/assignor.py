"""Faust's partition assignor for workers that keep their slot and may change their address.

A slot that returns to its consumer group gets the assignment that the group has cached for it. Faust asserts that the
web address in there is its own, and hangs if the port has changed since; nothing depends on that address.
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
