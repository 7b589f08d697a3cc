-- Tells how many gateways have not applied an undeployment yet.  Of those that
-- were outwaited none has a lease any more: the ones that have not called since
-- are forgotten, until they call again.
--
-- KEYS[1]  P:gateways
-- ARGV     prefix; then for each undeployment its id in P:undeployments, and
--          "wait" or "outwaited"
-- returns  for each how many there are left; or -1 if this Redis does not know
--          of the undeployment: then it does not know of all gateways that it
--          concerns, either

-- an undeployment is known by its place in ARGV
local FIRST, STRIDE = 2, 2
local HOW = 1

local stream = ARGV[1] .. ':undeployments'

-- while its slot moves, what is not here may be where it moves to: nothing is
-- done then, since such a key cannot be asked for
redis.call('EXISTS', ARGV[1] .. ':none')

local gateways, parsed, reply = redis.call('HGETALL', KEYS[1]), {}, {nil}

-- parts of ids may be larger than what a Lua number holds

local function less(digits, other)
    return #digits < #other or (#digits == #other and digits < other)
end

local function before(id, other)
    local ms, n = string.match(id, '^(%d+)%-(%d+)$')
    local other_ms, other_n = string.match(other, '^(%d+)%-(%d+)$')

    return ms and (less(ms, other_ms) or (ms == other_ms and less(n, other_n)))
end

-- what cannot be read is nobody's who could have a lease

for i = 1, #gateways, 2 do
    local applied, seen =
        string.match(gateways[i + 1], '^%d+ (%d+%-%d+) (%d+%-%d+)')
    parsed[#parsed + 1] = {name = gateways[i], applied = applied or '0-0',
                           seen = seen or '0-0'}
end

local function count(id, how)
    local left = 0

    if #redis.call('XRANGE', stream, id, id) == 0 then
        return -1
    end

    for _, gateway in ipairs(parsed) do
        if before(gateway.applied, id) and not gateway.gone then
            if how == 'outwaited' and before(gateway.seen, id) then
                redis.call('HDEL', KEYS[1], gateway.name)
                gateway.gone = true
            else
                left = left + 1
            end
        end
    end

    return left
end

for i = FIRST, #ARGV, STRIDE do
    reply[#reply + 1] = count(ARGV[i], ARGV[i + HOW])
end

return reply
