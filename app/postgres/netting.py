"""The SQL of netting: obligations, instructions and the seal of a cycle, and the entries that its statements list.

docs/CLEARING.md defines all of it. Each statement takes the cycle's number as its parameter.
"""

from app.postgres.shapes import rfc3339_text

# The entries of the ranges, by index: OFFSET 0 makes Postgres look into each range, however long the history is.
_IN_RANGES = """ranges, LATERAL (
    SELECT * FROM ledger_entries WHERE instrument = ranges.instrument
        AND seq > ranges.after_seq AND seq <= ranges.to_seq OFFSET 0
) AS entries"""
# The entries that count: a trade and its bust in the same cycle cancel.
_COUNTED = f"""counted AS (
    SELECT entries.* FROM {_IN_RANGES}
    WHERE entries.counter_seq IS NULL
        OR NOT (entries.counter_seq > ranges.after_seq AND entries.counter_seq <= ranges.to_seq)
)
"""
# Sums of each client, instrument and side first, of buyers and sellers in one pass over the entries: a million trades
# become assets and signs only once summed.
_SUMS = f"""{_COUNTED}, grouped AS (
    SELECT instrument, CASE kind WHEN 'trade' THEN 1 ELSE -1 END AS sign, buy_client_id, sell_client_id,
        sum(quantity) AS base, sum(price * quantity) AS quote, sum(buyer_fee) AS buyer_fee,
        sum(seller_fee) AS seller_fee
    FROM counted GROUP BY GROUPING SETS ((instrument, kind, buy_client_id), (instrument, kind, sell_client_id))
), sides AS (
    SELECT instrument, buy_client_id AS client_id, true AS buys, sign, base, quote, sign * buyer_fee AS fees
    FROM grouped WHERE buy_client_id IS NOT NULL
    UNION ALL
    SELECT instrument, sell_client_id, false, sign, base, quote, sign * seller_fee
    FROM grouped WHERE sell_client_id IS NOT NULL
), flows AS (
    SELECT client_id, base_asset AS asset, CASE WHEN buys = (sign = 1) THEN base ELSE 0 END AS gross_in,
        CASE WHEN buys = (sign = 1) THEN 0 ELSE base END AS gross_out, 0 AS fees, 0 AS carried
    FROM sides JOIN instruments USING (instrument)
    UNION ALL
    SELECT client_id, quote_asset, CASE WHEN buys = (sign = 1) THEN 0 ELSE quote END,
        CASE WHEN buys = (sign = 1) THEN quote ELSE 0 END, fees, 0
    FROM sides JOIN instruments USING (instrument)
    UNION ALL
    SELECT client_id, asset, 0, 0, 0, amount FROM carried
), sums AS (
    SELECT client_id, asset, sum(gross_in) AS gross_in, sum(gross_out) AS gross_out, sum(fees) AS fees,
        sum(carried) AS carried
    FROM flows GROUP BY client_id, asset
)
"""
_OBLIGATION = """sums.client_id, sums.asset, trim_scale(gross_in), trim_scale(gross_out), trim_scale(fees),
    trim_scale(carried), trim_scale(gross_in - gross_out - fees + carried), coalesce(before.closing, 0),
    trim_scale(coalesce(before.closing, 0) + gross_in - gross_out - fees)"""
_WITH_BEFORE = """sums LEFT JOIN LATERAL (
    SELECT closing FROM obligations AS earlier
    WHERE earlier.client_id = sums.client_id AND earlier.asset = sums.asset ORDER BY cycle DESC LIMIT 1
) AS before ON true"""
SEAL_OUTCOMES = "UPDATE instructions SET sealed_in = %(cycle)s WHERE state <> 'pending' AND sealed_in IS NULL"
# What the cycle changed in each position (docs/CLEARING.md, Positions): a reversal takes its trade out.
_POSITIONS = """positions AS (
    INSERT INTO cycle_positions (cycle, instrument, client_id, bought, sold, paid, received, fees)
    SELECT %(cycle)s, instrument, client_id,
        trim_scale(coalesce(sum(sign * base) FILTER (WHERE buys), 0)),
        trim_scale(coalesce(sum(sign * base) FILTER (WHERE NOT buys), 0)),
        trim_scale(coalesce(sum(sign * quote) FILTER (WHERE buys), 0)),
        trim_scale(coalesce(sum(sign * quote) FILTER (WHERE NOT buys), 0)),
        trim_scale(sum(fees))
    FROM sides GROUP BY instrument, client_id
)
"""
NET = f"""
WITH ranges AS (SELECT instrument, after_seq, to_seq FROM cycle_ranges WHERE cycle = %(cycle)s),
carried AS (SELECT client_id, asset, amount FROM instructions WHERE sealed_in = %(cycle)s AND state = 'failed'),
{_SUMS}, {_POSITIONS}
INSERT INTO obligations (client_id, asset, gross_in, gross_out, fees, carried, net, opening, closing, cycle)
SELECT {_OBLIGATION}, %(cycle)s FROM {_WITH_BEFORE}
"""
PREVIEW = f"""
WITH ranges AS (SELECT * FROM unnest(%(instruments)s::text[], %(after)s::bigint[], %(to)s::bigint[])
    AS given(instrument, after_seq, to_seq)),
carried AS (SELECT client_id, asset, amount FROM instructions WHERE sealed_in IS NULL AND state = 'failed'),
{_SUMS}
SELECT {_OBLIGATION} FROM {_WITH_BEFORE} ORDER BY sums.client_id, sums.asset
"""
INSTRUCT = """
INSERT INTO instructions (cycle, instruction, client_id, asset, amount, state)
SELECT cycle, row_number() OVER (ORDER BY client_id, asset), client_id, asset, net, 'pending'
FROM obligations WHERE cycle = %(cycle)s AND net <> 0
"""
TIME = rfc3339_text("time")
# The entries of one client in a cycle, with the side on which it was.
CLIENT_ENTRIES = " UNION ALL ".join(
    f"""SELECT entries.*, '{side}' COLLATE "C" AS side, CASE kind WHEN 'trade' THEN {fee} ELSE -{fee} END AS fee
FROM cycle_ranges AS ranges, LATERAL (
    SELECT * FROM ledger_entries WHERE instrument = ranges.instrument AND {side}_client_id = %(client)s
        AND seq > ranges.after_seq AND seq <= ranges.to_seq OFFSET 0
) AS entries WHERE cycle = %(cycle)s"""
    for side, fee in (("buy", "buyer_fee"), ("sell", "seller_fee"))
)
RANGES = "SELECT instrument, after_seq, to_seq FROM cycle_ranges WHERE cycle = %(cycle)s ORDER BY instrument"
# The entries of one range in the order of statements: what both sides' lines have, and the fee of each. Each kind is
# ordered where it is read, so that Postgres can merge two indexes and hand out the first row at once.
RANGE_ENTRIES = f"""
SELECT buy_client_id, sell_client_id, concat_ws(',', kind, seq, trade_id, instrument), price || ',' || quantity,
    trim_scale(buyer_fee)::text, trim_scale(seller_fee)::text, {TIME}
FROM (
    (SELECT 'trade' AS kind, instrument, report_seq AS seq, seq AS number, trade_id, price, quantity, buy_client_id,
        sell_client_id, buyer_fee, seller_fee, executed_at AS time
    FROM trades WHERE instrument = %(instrument)s AND report_seq > %(after)s AND report_seq <= %(to)s
    ORDER BY report_seq, trades.seq)
    UNION ALL
    (SELECT 'bust', busts.instrument, busts.seq, trades.seq, trade_id, price, quantity, buy_client_id,
        sell_client_id, -buyer_fee, -seller_fee, busted_at
    FROM trade_busts AS busts JOIN trades ON trades.instrument = busts.instrument AND trades.seq = busts.trade_seq
    WHERE busts.instrument = %(instrument)s AND busts.seq > %(after)s AND busts.seq <= %(to)s
    ORDER BY busts.seq, trades.seq)
) AS entries ORDER BY seq, number
"""
# With these settings it does, also for a range that is most of a market, which it would rather read whole and sort.
BY_INDEX, AS_USUAL = (f"SET LOCAL enable_sort = {on}; SET LOCAL enable_bitmapscan = {on}" for on in ("off", "on"))
READ_OBLIGATIONS = """SELECT client_id, asset, gross_in::text, gross_out::text, fees::text, carried::text, opening::text
FROM obligations WHERE cycle = %(cycle)s
"""
INSERT_STATEMENTS = """
INSERT INTO statements (cycle, client_id, digest)
SELECT %(cycle)s, * FROM unnest(%(clients)s::text[], %(digests)s::text[])
"""
SEAL = f"""
WITH lines AS (
    SELECT 0 AS section, '' COLLATE "C" AS name, '' COLLATE "C" AS asset, 0::bigint AS cycle, 0::bigint AS number,
        'cycle,' || %(cycle)s || ',' || coalesce(
            (SELECT seal FROM cycles WHERE cycle = %(cycle)s - 1), '{"0" * 64}') AS line
    UNION ALL
    SELECT 1, instrument, '', 0, 0, 'range,' || instrument || ',' || after_seq || ',' || to_seq
    FROM cycle_ranges WHERE cycle = %(cycle)s
    UNION ALL
    SELECT 2, '', '', cycle, instruction, 'outcome,' || cycle || ',' || instruction || ',' || state
    FROM instructions WHERE sealed_in = %(cycle)s
    UNION ALL
    SELECT 3, client_id, asset, 0, 0, concat_ws(',', 'obligation', client_id, asset, gross_in, gross_out, fees, carried,
        net, opening, closing)
    FROM obligations WHERE cycle = %(cycle)s
    UNION ALL
    SELECT 4, client_id, '', 0, 0, 'statement,' || client_id || ',' || digest FROM statements WHERE cycle = %(cycle)s
)
UPDATE cycles SET seal = (SELECT encode(chained(line ORDER BY section, name, asset, cycle, number), 'hex') FROM lines)
WHERE cycle = %(cycle)s
"""
SETTLE = """
UPDATE cycles SET state = 'settled' WHERE cycle = %(cycle)s AND state = 'netted'
    AND NOT EXISTS (SELECT FROM instructions WHERE cycle = %(cycle)s AND state = 'pending')
"""
