"""`python -m load`: put load on a venue, judge it, write fixtures."""

import sys

from load.arguments import main

if __name__ == "__main__":
    sys.exit(main())
