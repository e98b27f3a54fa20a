"""Our changes to Faust's streams: fetched batches as messages, own start positions, ordered recovery, fail-stop.

This package has all our changes to Faust, which use its extension points, and two changes to aiokafka
(connections.py, intact.py). docs/EXACTNESS.md gives the reasons.
"""
