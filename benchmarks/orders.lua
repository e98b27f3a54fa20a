-- wrk's script: single orders of the reference load (ten instruments, uniform prices and quantities), each with a new
-- key. At the end it prints one line of JSON, `RESULT {...}`.
local instruments = {
  "BTC-USD", "ETH-USD", "SOL-USD", "BNB-USD", "XRP-USD", "ADA-USD", "DOGE-USD", "DOT-USD", "MATIC-USD", "LTC-USD",
}
local count, prefix = 0, ""
created, others = 0, 0 -- globals: `thread:get` reads no others
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  math.randomseed(os.time())
  prefix = string.format("wrk-%d-%d-", os.time(), math.random(1000000000))
end

function request()
  count = count + 1
  local side = math.random(2) == 1 and "buy" or "sell"
  local body = string.format(
    '{"client_id":"client-%d","instrument":"%s","side":"%s","type":"limit","price":"%d","quantity":"%.1f"}',
    math.random(100), instruments[math.random(#instruments)], side, math.random(69000, 72000), math.random(1, 21) / 10)
  local headers = { ["Content-Type"] = "application/json", ["Idempotency-Key"] = prefix .. count }
  return wrk.format("POST", nil, headers, body)
end

function response(status)
  if status == 201 then created = created + 1 else others = others + 1 end
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
