-- Tells whom keys belong to.  A key is known if its entry leads to a credential
-- that names it: an entry that somebody forgot admits nobody.
--
-- KEYS[1]  P:gateways
-- ARGV     prefix, and the id that the gateway has applied last, or "": a Redis
--          whose stream is behind that is not the one that gave it; then for
--          each key its API, its SHA-256, and a grant that is asked for, or ""
-- returns  for each key three elements: SCOPE:ID, escaped, or "" if it is not
--          known, disabled or expired; 1 or 0, whether it holds the grant; and
--          for how many ms yet, or -1 for ever

-- a key is known by its place in ARGV; its other arguments are that many places
-- further
local FIRST, STRIDE = 3, 3
local HASH, GRANT = 1, 2

local P, call, now = ARGV[1], redis.call, nil

-- What a replica or a master without its replicas says may be old.  A disk that
-- is full makes nothing old, but hides that replicas are lacking; and old
-- versions (6.0.16, 6.2.6) refuse no script for want of them.  Who may not ask
-- cannot tell

local function lacks_replicas()
    local info = redis.pcall('INFO', 'replication')
    if type(info) == 'table' then
        return info
    end
    return string.find(info, 'min_slaves_good_slaves:0', 1, true)
           and {err = 'NOREPLICAS this Redis lacks its replicas'}
end

-- which would be a transaction in the AOF before version 7
if not redis.REDIS_VERSION_NUM then
    redis.replicate_commands()
    redis.set_repl(redis.REPL_NONE)
end

local stale = redis.pcall('DEL', P .. ':none')
stale = type(stale) == 'table' and stale

if stale and not string.find(stale.err, 'MISCONF ', 1, true) then
    return stale
end

stale = (stale or not redis.REDIS_VERSION_NUM) and lacks_replicas()
if stale then
    return stale
end

-- parts of ids may be larger than what a Lua number holds

local function less(digits, other)
    return #digits < #other or (#digits == #other and digits < other)
end

local function before(id, other)
    local ms, n = string.match(id, '^(%d+)%-(%d+)$')
    local other_ms, other_n = string.match(other, '^(%d+)%-(%d+)$')

    return ms and other_ms
           and (less(ms, other_ms) or (ms == other_ms and less(n, other_n)))
end

if ARGV[2] ~= '' then
    -- what is no stream tells nothing, and nobody can undeploy there
    local entries = redis.pcall('XREVRANGE', P .. ':undeployments', '+', '-',
                                'COUNT', '1')
    local newest = entries[1] and entries[1][1] or '0-0'
    if not entries.err and before(newest, ARGV[2]) then
        return {err = 'BEHIND this Redis does not know the last undeployment'}
    end
end

local function left(expires_at)
    if not expires_at then
        return -1
    end
    if not now then
        local clock = call('TIME')
        now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    end
    return math.ceil((tonumber(expires_at) or 0) * 1000 - now)
end

-- two parts, which are escaped as undeploy.lua escapes them, and can be parts
-- of a header

local function is_name(pointer)
    local rest = #pointer <= 4096 and string.match(pointer, '^[^:%c]+:[^:%c]+$')
    if rest and string.find(rest, '%', 1, true) then
        rest = string.gsub(rest, '%%..', {['%25'] = '', ['%3A'] = ''})
        rest = not string.find(rest, '%', 1, true)
    end
    return rest
end

-- a deployer that is late has brought back what was undeployed

local function is_buried(own, pointer, revision)
    local tombstone = redis.pcall('GET', own .. ':tombstone:' .. pointer)
    local digits = string.match(revision, '^0*(%d+)$')

    return type(tombstone) == 'string' and tombstone ~= '0' and digits
           and not less(tombstone, digits)
end

local function find(i)
    local api, hash, grant = ARGV[i], ARGV[i + HASH], ARGV[i + GRANT]
    local own = P .. ':' .. api
    local pointer = call('GET', own .. ':key:' .. hash)

    if not pointer or not is_name(pointer) then
        return ''
    end

    local is = call('HMGET', own .. ':credential:' .. pointer, 'keys',
                    'enabled', 'expires_at', 'revision')

    if not is[1] or is[2] == '0'
       or not string.find(' ' .. is[1] .. ' ', ' ' .. hash .. ' ', 1, true)
    then
        return ''
    end

    if is[4] and is_buried(own, pointer, is[4]) then
        return ''
    end

    local ms = left(is[3])

    -- a NaN has expired, too
    if not (ms == -1 and not is[3] or ms > 0) then
        return ''
    end

    return pointer,
           grant ~= '' and call('SISMEMBER', own .. ':grants:' .. pointer,
                                grant) or 0,
           -- thirty years
           math.min(ms, 1e12)
end

local reply = {nil, nil, nil}

for i = FIRST, #ARGV, STRIDE do
    local n = i - FIRST + 1
    local ok, pointer, granted, ms = pcall(find, i)
    if not ok then
        pointer = type(pointer) == 'table' and pointer or {err = pointer}
    end
    reply[n], reply[n + 1], reply[n + 2] = pointer, granted or 0, ms or -1
end

return reply
