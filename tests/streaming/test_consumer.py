"""The consumer's settings that Faust does not let us choose."""

import pytest
from yarl import URL

from app import app
from app.local.servers import Servers
from app.streaming.consumer import FETCH_MAX_WAIT_MS


async def test_a_fetch_of_idle_partitions_does_not_keep_the_busy_ones_waiting(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's own 1.5 s would: a broker answers a client's fetches one after the other."""
    monkeypatch.setattr(app.transport, "url", [URL(f"kafka://{servers.broker}")])
    consumer = app._new_consumer()
    worker = consumer._new_consumer_thread()._create_consumer(consumer.loop)
    await worker.start()
    try:
        assert worker._fetcher._fetch_max_wait_ms == FETCH_MAX_WAIT_MS
    finally:
        await worker.stop()
