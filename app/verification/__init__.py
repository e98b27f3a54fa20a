"""Whether a venue is right, judged from what is durable: oracles O1 to O6 of exactness.md, in one pass."""
