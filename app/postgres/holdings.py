"""The SQL of positions and balances: what the netted cycles say of a client, and its entries since then.

So an answer reads one row of each cycle and the entries of one cycle, however long the history is. docs/CLEARING.md
defines both.
"""

LARGEST_SEQ = 2**62
UP_TO_SEQ = """
SELECT instrument, %(to)s::bigint AS last_seq FROM instruments
WHERE %(instrument)s::text IS NULL OR instrument = %(instrument)s
"""
UP_TO_CYCLE = """
SELECT instrument, (
    SELECT to_seq FROM cycle_ranges AS ranges WHERE ranges.instrument = instruments.instrument AND cycle <= %(cycle)s
    ORDER BY to_seq DESC LIMIT 1
) AS last_seq FROM instruments WHERE %(instrument)s::text IS NULL OR instrument = %(instrument)s
"""
# Of each market the last seq that counts, and the last netted cycle that ends at or below it.
_BOUNDS = """bounds AS (
    SELECT instrument, last_seq, netted.cycle AS netted_cycle, coalesce(netted.to_seq, 0) AS netted_seq
    FROM ({}) AS wanted LEFT JOIN LATERAL (
        SELECT cycle, to_seq FROM cycle_ranges AS ranges JOIN cycles USING (cycle)
        WHERE ranges.instrument = wanted.instrument AND to_seq <= last_seq AND has_positions
        ORDER BY to_seq DESC LIMIT 1
    ) AS netted ON true
)"""
# The client's entries after that cycle, summed for each market and side. A bust takes its trade out.
_SINCE = "sides AS ({})".format(
    " UNION ALL ".join(
        f"""SELECT instrument, {buys} AS buys, sign * base AS base, sign * quote AS quote, sign * fees AS fees
FROM bounds, LATERAL (
    SELECT CASE kind WHEN 'trade' THEN 1 ELSE -1 END AS sign, sum(quantity) AS base, sum(price * quantity) AS quote,
        sum({fee}) AS fees
    FROM ledger_entries WHERE instrument = bounds.instrument AND seq > netted_seq AND seq <= last_seq
        AND {side}_client_id = %(client)s GROUP BY kind
) AS sums"""
        for side, buys, fee in (("buy", "true", "buyer_fee"), ("sell", "false", "seller_fee"))
    )
)
# Without the markets in which all trades of the client are busted.
POSITIONS = f"""
WITH {_BOUNDS}, {_SINCE}, sums AS (
    SELECT instrument, bought, sold, paid, received, fees FROM cycle_positions JOIN bounds USING (instrument)
    WHERE client_id = %(client)s AND cycle <= netted_cycle
    UNION ALL
    SELECT instrument, CASE WHEN buys THEN base ELSE 0 END, CASE WHEN buys THEN 0 ELSE base END,
        CASE WHEN buys THEN quote ELSE 0 END, CASE WHEN buys THEN 0 ELSE quote END, fees FROM sides
)
SELECT instrument, sum(bought)::text, sum(sold)::text, sum(paid)::text, sum(received)::text, sum(fees)::text
FROM sums GROUP BY instrument HAVING sum(bought + sold) > 0 ORDER BY instrument
"""
BALANCES = f"""
WITH {_BOUNDS.format(f"SELECT instrument, {LARGEST_SEQ} AS last_seq FROM instruments")}, {_SINCE}, opened AS (
    SELECT base_asset AS asset, CASE WHEN buys THEN base ELSE -base END AS amount
    FROM sides JOIN instruments USING (instrument)
    UNION ALL
    SELECT quote_asset, CASE WHEN buys THEN -quote ELSE quote END - fees FROM sides JOIN instruments USING (instrument)
), sums AS (SELECT asset, sum(amount) AS amount FROM opened GROUP BY asset),
closings AS (
    SELECT DISTINCT ON (asset) asset, closing, cycle FROM obligations WHERE client_id = %(client)s
    ORDER BY asset, cycle DESC
), due AS (
    SELECT asset, sum(amount) AS amount FROM instructions WHERE client_id = %(client)s
        AND (state = 'pending' OR state = 'failed' AND sealed_in IS NULL) GROUP BY asset
)
SELECT asset, trim_scale(coalesce(closing, 0) + coalesce(sums.amount, 0))::text, coalesce(closing, 0)::text, cycle,
    trim_scale(coalesce(due.amount, 0))::text
FROM closings FULL JOIN sums USING (asset) LEFT JOIN due USING (asset) ORDER BY asset
"""
