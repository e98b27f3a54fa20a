"""How often a worker looks for reference cycles: rarely, because books, records and rows have none.

With its usual thresholds Python would scan them over and over; it took an eighth of the recording role's CPU.
"""

import gc

THRESHOLDS = (50_000, 50, 1_000)


def collect_rarely() -> None:
    """Leave what is loaded so far out of every scan, and scan newer objects seldom."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
