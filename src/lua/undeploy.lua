-- Takes credentials out of one environment, each unless a newer one is there,
-- and proves that they are gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix, and the key that stream.lua made for this connection; then
--          members (API:scope:id:revision:operation, escaped)
-- returns  how many calls there were by this connection, the last id of the
--          stream by this one or "", with a colon between; how many gateways
--          there are, and the longest of their leases (ms); then for each
--          member undeployed, not_deployed, superseded or an error, and its id
--          in the stream, or ""

local P, call, last = ARGV[1], redis.call, ''

local FIRST, WHOLE, OWN = 3, 3, 2

local function unescape(s)
    if string.find(s, '%', 1, true) then
        s = string.gsub(s, '%%(%x%x)', function (hex)
            return string.char(tonumber(hex, 16))
        end)
    end
    return s
end

-- numbers may be larger than what a Lua number holds

local function less(digits, other)
    return #digits < #other or (#digits == #other and digits < other)
end

-- its digits, if they are more than the other's
local function newer(revision, other)
    local digits = revision and string.match(revision, '^0*(%d+)$') or '0'

    return less(other, digits) and digits
end

-- A newer copy that stays has other keys; that those of the older one are good
-- no more is told of, too

local function tell(api, scope, id, revision, operation)
    last = call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*',
                'api', api, 'scope', scope, 'id', id,
                'revision', revision, 'operation', operation)

    call('PUBLISH', P .. ':undeployed', '{"api":"' .. api
         .. '","scope":' .. cjson.encode(scope)
         .. ',"id":' .. cjson.encode(id)
         .. ',"revision":"' .. revision
         .. '","operation":"' .. operation .. '"}')
end

-- the entries of its keys, unless they lead to somebody else

local function entries_of(own, names, keys)
    local found = {}

    for hash in string.gmatch(keys or '', '%S+') do
        local entry = own .. ':key:' .. hash
        if redis.pcall('GET', entry) == string.sub(names, 2) then
            found[#found + 1] = entry
        end
    end

    return found
end

local function undeploy(member)
    local api, names, S, I, revision, operation =
        string.match(member, '^([^:]+)(:([^:]*):([^:]*)):(%d+):(%x+)$')

    if not api then
        return {err = 'ERR malformed pending entry'}
    end

    local scope, id, own = unescape(S), unescape(I), P .. ':' .. api
    local credential = own .. ':credential' .. names
    local grants = own .. ':grants' .. names
    local index = own .. ':credentials:' .. S
    local tombstone = own .. ':tombstone' .. names

    local is = call('HMGET', credential, 'revision', 'keys')
    local keep = revision ~= '0' and newer(is[1], revision)
    local buried = newer(call('GET', tombstone), revision)

    -- before other writes: it fails if the index is no set, and it needs no
    -- memory, which lets Redis do the others when it has none left
    local listed = keep and 0 or call('SREM', index, id)

    call('SETEX', tombstone, '604800', buried or revision)

    if keep then
        tell(api, scope, id, revision, operation)
        return 'superseded'
    end

    for _, entry in ipairs(is[2] and entries_of(own, names, is[2]) or {}) do
        call('DEL', entry)
    end

    local deleted = call('DEL', credential, grants)

    tell(api, scope, id, revision, operation)

    if call('EXISTS', credential, grants) > 0
       or call('SISMEMBER', index, id) == 1
    then
        return {err = 'ERR credential is still there'}
    end

    return (deleted > 0 or listed > 0) and 'undeployed' or 'not_deployed'
end

-- None of the gateways can have applied what was not there before this call:
-- one that says so has it from another life of the stream

local function before(id, other)
    local ms, n = string.match(id, '^(%d+)%-(%d+)$')
    local other_ms, other_n = string.match(other, '^(%d+)%-(%d+)$')

    return less(ms, other_ms) or (ms == other_ms and less(n, other_n))
end

local gateways = P .. ':gateways'

local function longest_lease(first)
    local all, longest = call('HGETALL', gateways), 0

    for i = 1, #all, 2 do
        local lease, applied, seen, rest =
            string.match(all[i + 1], '^(%d+) (%d+%-%d+) (%d+%-%d+)(.*)$')

        -- a lease is no longer than an hour
        lease = math.min(tonumber(lease) or 0, 3600000)
        longest = math.max(longest, lease)

        if rest and not (before(applied, first) and before(seen, first)) then
            call('HSET', gateways, all[i],
                 string.format('%d 0-0 0-0', lease) .. rest)
        end
    end

    return #all / 2, longest
end

-- while its slot moves, what is not here may be where it moves to: nothing is
-- done then, since such a key cannot be asked for
call('EXISTS', P .. ':none')

-- fails before anything is written if these are no stream and no hash
call('XLEN', KEYS[1])
local any = call('EXISTS', gateways) == 1 and call('HLEN', gateways) > 0

local reply, first = {'', 0, 0, nil, nil}, nil

for i = FIRST, #ARGV do
    local n = WHOLE + (i - FIRST) * OWN + 1
    last = ''
    local ok, result = pcall(undeploy, ARGV[i])
    reply[n] = (ok or type(result) == 'table') and result or {err = result}
    reply[n + 1] = last
    first = first or (last ~= '' and last)
end

if any and first then
    reply[2], reply[3] = longest_lease(first)
end

-- the last one that has any
for n = #reply, WHOLE + OWN, -OWN do
    last = reply[n]
    if last ~= '' then
        break
    end
end

-- An environment that has lost its memory since the last call has lost this
-- key, too, or counts from what it was.  After other writes: it needs memory
reply[1] = string.format('%d:%s', call('INCR', ARGV[2]), last)

return reply
