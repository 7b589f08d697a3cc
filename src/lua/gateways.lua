-- Tells operators of an environment's gateways.  Nothing is written.
--
-- KEYS[1]  P:gateways
-- ARGV     prefix
-- returns  time (ms), then of each gateway an array of a field, its value, the
--          next field and so on: its name, its lease (ms), when it called last
--          (ms), and how many undeployments it has not applied, up to 100

local stream = ARGV[1] .. ':undeployments'

local GATEWAYS, MOST = 200, 100

-- while its slot moves, what is not here may be where it moves to: nothing is
-- told then, since such a key cannot be asked for
redis.call('EXISTS', ARGV[1] .. ':none')

local clock = redis.call('TIME')
local reply = {clock[1] .. string.sub('00000' .. clock[2], -6, -4)}
local all, known = redis.call('HGETALL', KEYS[1]), {}

-- numbers of more digits than any id has are none

local function id(s)
    local ms, n = string.match(s or '', '^(%d+)%-(%d+)$')
    return ms and #ms < 20 and #n < 20 and s or '0-0'
end

local function lag(applied)
    if not known[applied] then
        local entries = redis.call('XRANGE', stream, applied, '+', 'COUNT',
                                   tostring(MOST + 1))
        local first = entries[1] and entries[1][1] == applied and 1 or 0

        known[applied] = tostring(math.min(#entries - first, MOST))
    end

    return known[applied]
end

for i = 1, math.min(#all, 2 * GATEWAYS), 2 do
    local lease, applied, called =
        string.match(all[i + 1], '^(%d+) (%d+%-%d+) %d+%-%d+ (%d+)')

    -- what cannot be read is nobody's who could have a lease
    reply[#reply + 1] = {'name', all[i], 'lease', lease or '0',
                         'called', called or '0',
                         'lag', lag(id(applied))}
end

return reply
