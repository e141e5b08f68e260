-- Sends the bodies of a file, one a line, in turn. MARK in a line is replaced by a number that is unique to the request.
-- Usage: wrk … -s bench/wrk.lua URL -- FILE FIRST

local MARK = "##########"
local PER_THREAD = 100000000
local threads = {}

function setup(thread)
  thread:set("offset", #threads * PER_THREAD)
  table.insert(threads, thread)
end

local bodies = {}
local turn = 0
local number
-- Global, so that `done` can ask each thread for them.
made, bytes = 0, 0

local function split(line)
  local parts, from = {}, 1
  while true do
    local at, to = string.find(line, MARK, from, true)
    table.insert(parts, string.sub(line, from, (at or 0) - 1))
    if not at then return parts end
    from = to + 1
  end
end

function init(args)
  local headers = { ["Content-Type"] = "application/json" }
  for line in io.lines(args[1]) do
    -- The mark is as long as the number that replaces it, so the length that wrk computes is right.
    table.insert(bodies, split(wrk.format("POST", "/method", headers, line)))
  end
  number = tonumber(args[2]) + offset
end

local function make()
  turn = turn % #bodies + 1
  local parts = bodies[turn]
  if #parts == 1 then return parts[1] end
  number = number + 1
  return table.concat(parts, string.format("%010d", number))
end

function request()
  local text = make()
  made, bytes = made + 1, bytes + #text
  return text
end

function done(summary, latency)
  local e = summary.errors
  local all, length = 0, 0
  for _, thread in ipairs(threads) do
    all, length = all + thread:get("made"), length + thread:get("bytes")
  end
  io.write(string.format(
    '\nsummary {"requests": %d, "microseconds": %d, "errors": %d, "p50_us": %d, "p99_us": %d, ' ..
      '"request_bytes": %.1f, "reply_bytes": %.1f}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99), length / all, summary.bytes / math.max(summary.requests, 1)
  ))
end
