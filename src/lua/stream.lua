-- Tells an environment's memory: whether its stream of undeployments still has
-- the entry that the registry knows as the last one, and how far it has come.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix; the id of that entry, or "" if none is known
-- returns  1 or 0, and the arguments of again.lua: the stream's length and last
--          id ("0-0" if it is empty), and the run id of this Redis or ""

local known, call = ARGV[2], redis.call

local LENGTH = 100000

local length = call('XLEN', KEYS[1])
local last = call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')[1]

-- what is no id is not there either
local has = known == '' or known == '0-0'
            or #redis.pcall('XRANGE', KEYS[1], known, known) == 1

-- a user of an ACL may be without the right to ask this
local server = redis.pcall('INFO', 'server')
local run_id = type(server) == 'string'
               and string.match(server, 'run_id:(%x+)') or ''

return {has and 1 or 0,
        string.format('%d', length < LENGTH and length or LENGTH),
        last and last[1] or '0-0', run_id}
