"""Whether tests that have a longer form run it: `MATCHSTREAM_LONG=1`, as `make faults` does."""

import os

LONG = bool(os.environ.get("MATCHSTREAM_LONG"))
