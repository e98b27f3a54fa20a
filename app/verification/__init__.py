"""Verifies a venue from its durable data: checks O1 to O6 of docs/EXACTNESS.md, in one pass over the topics."""
