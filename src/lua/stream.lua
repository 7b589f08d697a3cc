-- Tells an environment's memory: whether its stream of undeployments still has
-- the entry that the registry knows as the last one, and how far it has come.
-- Begins to count the calls of a connection, by which a loss between two of
-- them is noticed.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix, the id of that entry, or "" if none is known, a key for the
--          connection and a number to count from
-- returns  1 or 0; the stream's last id ("0-0" if it is empty) and the run id
--          of this Redis or "", for again.lua; and the number that is counted
--          from

local known, connection, start = ARGV[2], ARGV[3], ARGV[4]

-- while its slot moves, what is not here may be where it moves to: nothing is
-- done then, since such a key cannot be asked for
redis.call('EXISTS', ARGV[1] .. ':none')

redis.call('XLEN', KEYS[1])

local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')[1]
-- what is no id of a stream, no stream has
local has = known == '' or known == '0-0'
            or #redis.pcall('XRANGE', KEYS[1], known, known) == 1

-- a user of an ACL may be without the right to ask this
local server = redis.pcall('INFO', 'server')
local run_id = type(server) == 'string'
               and string.match(server, 'run_id:(%x+)') or ''

-- without memory it is counted from what is there, or from nothing
if not redis.pcall('SETEX', connection, '604800', start).ok then
    local count = redis.pcall('GET', connection)
    start = type(count) == 'string' and count or '0'
end

return {has and 1 or 0, last and last[1] or '0-0', run_id, start}
