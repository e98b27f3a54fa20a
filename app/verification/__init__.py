"""Whether a venue is right, judged from what is durable: checks O1 to O6 of docs/EXACTNESS.md, in one pass."""
