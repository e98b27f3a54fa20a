"""The gateway's order log on a disk that takes nothing for a while."""

import json
from pathlib import Path

from web.entry.order_log import OrderLog


def test_lines_that_cannot_be_written_are_counted_and_the_gateway_lives(tmp_path: Path) -> None:
    """Here a file is where its folder has to be: the system's error, as a full disk gives one."""
    log = OrderLog(tmp_path / "gateway" / "orders.log", "rejected")
    (tmp_path / "gateway").touch()
    for number in range(3):
        log.note_refused(422, "off_tick", f"order {number}")
    log.write()
    (tmp_path / "gateway").unlink()
    log.note_refused(422, "off_tick", "order 3")
    log.write()
    (line,) = (tmp_path / "gateway" / "orders.log").read_text().splitlines()
    written = json.loads(line)
    assert (written["detail"], written["lines_lost_before"]) == ("order 3", 3)
