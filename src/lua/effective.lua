-- Tells how many gateways have not applied an undeployment yet.  Of those that
-- were outwaited none has a lease any more: the ones that have not called since
-- are forgotten, until they call again.
--
-- KEYS[1]  P:gateways
-- ARGV     then for each undeployment its id in P:undeployments, and "wait" or
--          "outwaited"
-- returns  for each how many there are left

-- an undeployment is known by its place in ARGV
local FIRST, STRIDE = 1, 2
local HOW = 1

local gateways, parsed, reply = redis.call('HGETALL', KEYS[1]), {}, {nil}

local function number(id)
    local ms, n = string.match(id, '^(%d+)%-(%d+)$')
    return tonumber(ms) or 0, tonumber(n) or 0
end

local function before(id, other)
    local ms, n = number(id)
    local other_ms, other_n = number(other)
    return ms < other_ms or (ms == other_ms and n < other_n)
end

-- what cannot be read is nobody's who could have a lease

for i = 1, #gateways, 2 do
    local applied, seen =
        string.match(gateways[i + 1], '^%d+ (%d+%-%d+) (%d+%-%d+) ')
    parsed[#parsed + 1] = {name = gateways[i], applied = applied or '0-0',
                           seen = seen or '0-0'}
end

for i = FIRST, #ARGV, STRIDE do
    local id, left = ARGV[i], 0

    for _, gateway in ipairs(parsed) do
        if before(gateway.applied, id) and not gateway.gone then
            if ARGV[i + HOW] == 'outwaited' and before(gateway.seen, id) then
                redis.call('HDEL', KEYS[1], gateway.name)
                gateway.gone = true
            else
                left = left + 1
            end
        end
    end

    reply[#reply + 1] = left
end

return reply
