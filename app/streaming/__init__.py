"""How we use Faust's stream machinery: fetched batches as messages, own start positions, ordered recovery, fail-stop.

These are the only changes we make to Faust, all through its extension points, and two to aiokafka
(connections.py, intact.py); reference: docs/EXACTNESS.md.
"""
