"""Recovery in an order that loses nothing: callbacks, then seek, then empty queues, then records.

Faust resumes the partitions before it seeks and clears the queues after that, so events delivered in between are lost
(seen: 187 of 12,000 on a graceful leave); and it goes on when a callback raised.
"""

from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery


class OrderedRecovery(Recovery):
    """Faust's table recovery with its last step reordered."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        consumer = self.app.consumer
        await self.app.on_rebalance_complete.send()
        self._set_recovery_ended()
        for table in self.tables.values():
            await table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
        if self.app.consumer_generation_id != generation_id:
            return  # another rebalance has begun; its own recovery follows
        if consumer.assignment():
            # Without Faust's time limit, after which it would go on without a seek: the watchdogs have one.
            await self._wait(consumer.perform_seek())
        self.completed.set()
        self.app.flow_control.resume()  # this empties the queues, so it comes before anything can be delivered
        consumer.resume_partitions({tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)})
        consumer.resume_flow()
        await self.app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        self.app.on_rebalance_end()
        self.log.info("Worker ready")

    def need_recovery(self) -> bool:
        """Leave nothing for Faust to restore: a partition's owner fills the table itself (docs/EXACTNESS.md, I8)."""
        return False

    async def _seek_offsets(self, consumer: Any, tps: Any, offsets: Any, title: str) -> None:
        """Nothing is read from the changelog, so there is no place to go to in it."""


class OrderedTableManager(TableManager):
    """Faust's table manager with that recovery."""

    _recovery: Any = None

    async def on_start(self) -> None:
        """Begin at once: Faust sleeps a second first, and ours are all defined when a worker starts."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    @property
    def recovery(self) -> Any:
        if self._recovery is None:
            self._recovery = OrderedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
