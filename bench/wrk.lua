-- Sends the bodies of a file, one a line, in turn. Where a line has MARK, a number stands that no other request has.
-- Usage: wrk … -s bench/wrk.lua URL -- FILE FIRST

local MARK = "##########"
local PER_THREAD = 100000000
local threads = 0

function setup(thread)
  thread:set("offset", threads * PER_THREAD)
  threads = threads + 1
end

local bodies = {}
local turn = 0
local number

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
    -- The mark is as long as what takes its place, so the length that wrk computes is right.
    table.insert(bodies, split(wrk.format("POST", "/method", headers, line)))
  end
  number = tonumber(args[2]) + offset
end

function request()
  turn = turn % #bodies + 1
  local parts = bodies[turn]
  if #parts == 1 then return parts[1] end
  number = number + 1
  return table.concat(parts, string.format("%010d", number))
end

function done(summary)
  local e = summary.errors
  io.write(string.format(
    '\nsummary {"requests": %d, "microseconds": %d, "errors": %d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout + e.status
  ))
end
