"""The SQL of netting: obligations, instructions, digests of statements and the seal of a cycle, each in one statement.

docs/CLEARING.md defines all of it. Each statement takes the cycle's number as its parameter.
"""

from app.postgres.shapes import rfc3339_text

# The entries that count: what a trade and its bust in the same cycle leave is nothing.
_COUNTED = """counted AS (
    SELECT entries.* FROM ranges JOIN ledger_entries AS entries ON entries.instrument = ranges.instrument
        AND entries.seq > ranges.after_seq AND entries.seq <= ranges.to_seq
    WHERE entries.counter_seq IS NULL
        OR NOT (entries.counter_seq > ranges.after_seq AND entries.counter_seq <= ranges.to_seq)
)
"""
# Sums of each client, instrument and direction first, so that a million trades become assets only once summed.
_SUMS = f"""{_COUNTED}, sides AS (
    SELECT instrument, buy_client_id AS client_id, kind = 'trade' AS takes_base, sum(quantity) AS base,
        sum(price * quantity) AS quote, sum(CASE kind WHEN 'trade' THEN buyer_fee ELSE -buyer_fee END) AS fees
    FROM counted GROUP BY instrument, buy_client_id, kind
    UNION ALL
    SELECT instrument, sell_client_id, kind <> 'trade', sum(quantity),
        sum(price * quantity), sum(CASE kind WHEN 'trade' THEN seller_fee ELSE -seller_fee END)
    FROM counted GROUP BY instrument, sell_client_id, kind
), flows AS (
    SELECT client_id, base_asset AS asset, CASE WHEN takes_base THEN base ELSE 0 END AS gross_in,
        CASE WHEN takes_base THEN 0 ELSE base END AS gross_out, 0 AS fees, 0 AS carried
    FROM sides JOIN instruments USING (instrument)
    UNION ALL
    SELECT client_id, quote_asset, CASE WHEN takes_base THEN 0 ELSE quote END,
        CASE WHEN takes_base THEN quote ELSE 0 END, fees, 0
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
NET = f"""
INSERT INTO obligations (client_id, asset, gross_in, gross_out, fees, carried, net, opening, closing, cycle)
WITH ranges AS (SELECT instrument, after_seq, to_seq FROM cycle_ranges WHERE cycle = %(cycle)s),
carried AS (SELECT client_id, asset, amount FROM instructions WHERE sealed_in = %(cycle)s AND state = 'failed'),
{_SUMS}
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
# Every line of an entry of a cycle, with the client that it is for.
ENTRY_LINES = """
SELECT sides.client_id, entries.kind, entries.seq, entries.trade_id, entries.instrument, sides.side,
    entries.price, entries.quantity, CASE entries.kind WHEN 'trade' THEN fee ELSE -fee END AS fee, entries.time,
    entries.number
FROM cycle_ranges AS ranges JOIN ledger_entries AS entries ON entries.instrument = ranges.instrument
    AND entries.seq > ranges.after_seq AND entries.seq <= ranges.to_seq,
    LATERAL (VALUES (buy_client_id, 'buy', buyer_fee), (sell_client_id, 'sell', seller_fee))
        AS sides(client_id, side, fee)
WHERE ranges.cycle = %(cycle)s
"""
STATEMENTS = f"""
INSERT INTO statements (cycle, client_id, digest)
WITH mine AS (SELECT * FROM obligations WHERE cycle = %(cycle)s),
entry_lines AS ({ENTRY_LINES}),
lines AS (
    SELECT DISTINCT client_id, 0 AS section, '' COLLATE "C" AS name, 0::bigint AS seq, 0::bigint AS number,
        '' COLLATE "C" AS side,
        'row,seq,trade_id,instrument,side,price,quantity,fee,time,asset,amount' AS line FROM mine
    UNION ALL
    SELECT client_id, 1, asset, 0, 0, '', 'opening,,,,,,,,,' || asset || ',' || opening FROM mine
    UNION ALL
    SELECT client_id, 2, instrument, seq, number, side, kind || ',' || seq || ',' || trade_id || ',' || instrument
        || ',' || side || ',' || price || ',' || quantity || ',' || trim_scale(fee) || ',' || {TIME} || ',,'
    FROM entry_lines WHERE client_id IN (SELECT client_id FROM mine)
    UNION ALL
    SELECT client_id, 3, asset, place, 0, '', name || ',,,,,,,,,' || asset || ',' || amount
    FROM mine, LATERAL (VALUES
        (1, 'gross_in', gross_in), (2, 'gross_out', gross_out), (3, 'fees', fees), (4, 'carried', carried),
        (5, 'net', net), (6, 'closing', closing)
    ) AS sums(place, name, amount)
)
SELECT %(cycle)s, client_id, encode(chained(line ORDER BY section, name, seq, number, side), 'hex')
FROM lines GROUP BY client_id
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
