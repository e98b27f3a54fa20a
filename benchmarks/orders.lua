-- wrk's script: orders of the reference load (ten instruments, uniform prices and quantities), each with a new key. They
-- are single, or in batches of as many as the environment's ORDERS_IN_BATCH says. At the end it prints one line of JSON,
-- `RESULT {...}`, which counts orders.
local instruments = {
  "BTC-USD", "ETH-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "DOGE-USD", "DOT-USD", "MATIC-USD", "LTC-USD",
}
local count, prefix = 0, ""
local in_batch = tonumber(os.getenv("ORDERS_IN_BATCH") or "1")
created, others = 0, 0 -- globals: `thread:get` reads no others
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  math.randomseed(os.time())
  prefix = string.format("wrk-%d-%d-", os.time(), math.random(1000000000))
end

local function order(key)
  local side = math.random(2) == 1 and "buy" or "sell"
  return string.format(
    '{"client_id":"client-%d","instrument":"%s","side":"%s","type":"limit","price":"%d","quantity":"%.1f"%s}',
    math.random(100), instruments[math.random(#instruments)], side, math.random(69000, 72000), math.random(1, 21) / 10,
    key)
end

function request()
  local headers = { ["Content-Type"] = "application/json" }
  if in_batch == 1 then
    count = count + 1
    headers["Idempotency-Key"] = prefix .. count
    return wrk.format("POST", nil, headers, order(""))
  end
  local orders = {}
  for number = 1, in_batch do
    count = count + 1
    orders[number] = order(string.format(',"client_order_id":"%s%d"', prefix, count))
  end
  return wrk.format("POST", nil, headers, '{"orders":[' .. table.concat(orders, ",") .. "]}")
end

function response(status, _, body)
  local accepted = status == 201 and 1 or 0
  if in_batch > 1 then accepted = select(2, body:gsub('"status":201', "")) end
  created = created + accepted
  others = others + in_batch - accepted
end

function done(summary, latency)
  local answers, rest = 0, 0
  for _, thread in ipairs(threads) do
    answers = answers + thread:get("created")
    rest = rest + thread:get("others")
  end
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format(
    'RESULT {"answers":%d,"others":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"generator_cpu_s":%.3f}',
    answers, rest + failed, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    os.clock()))
end
