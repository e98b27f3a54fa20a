"""`python -m load`: run a load test or a soak with faults, verify a venue, or write generated requests to a file."""

import sys

from load.arguments import main

if __name__ == "__main__":
    sys.exit(main())
