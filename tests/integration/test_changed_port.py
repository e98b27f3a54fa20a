"""A worker that returns to its group at another address (ports.json was deleted, or a container has a new name)."""

from pathlib import Path

from app.local.ports import Ports
from app.local.venue import Venue


async def test_a_worker_may_come_back_with_another_port(venue: Venue, tmp_path: Path) -> None:
    """Within the group's session timeout, so that it gets the assignment that the group has cached for its slot."""
    await venue.kill("matching", for_good=True)
    before = venue.ports.claimed.pop("matching-0")
    after = venue.ports.get("matching-0", wanted=Ports(tmp_path, usual=False).get("matching-0"))
    assert after != before
    await venue.start_worker("matching")
    await venue.wait_ready("matching")
