-- Takes credentials out of one environment, each unless a newer one is there,
-- and proves that they are gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix; then members (API:scope:id:revision:operation, escaped)
-- returns  how far the stream of undeployments has come by this call, for
--          acknowledge.lua: its length before and after, and its last id, with
--          colons between; then for each member undeployed, not_deployed,
--          superseded or an error

-- the stream is trimmed to about this length
local LENGTH = 100000

local P, call = ARGV[1], redis.call
local added, last = 0, ''

local function unescape(s)
    if string.find(s, '%', 1, true) then
        s = string.gsub(s, '%%(%x%x)', function (hex)
            return string.char(tonumber(hex, 16))
        end)
    end
    return s
end

-- its digits, if they are more than the other's, which may both be larger than
-- what a Lua number holds
local function newer(revision, other)
    local digits = revision and string.match(revision, '^0*(%d+)$') or '0'

    return (#digits > #other or (#digits == #other and digits > other))
           and digits
end

local function tell(api, scope, id, revision, operation)
    last = call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*',
                'api', api, 'scope', scope, 'id', id,
                'revision', revision, 'operation', operation)
    added = added + 1

    call('PUBLISH', P .. ':undeployed', '{"api":"' .. api
         .. '","scope":' .. cjson.encode(scope)
         .. ',"id":' .. cjson.encode(id)
         .. ',"revision":"' .. revision
         .. '","operation":"' .. operation .. '"}')
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

    local keep = revision ~= '0'
                 and newer(call('HGET', credential, 'revision'), revision)
    local buried = newer(call('GET', tombstone), revision)

    -- before other writes: it fails if the index is no set, and it needs no
    -- memory, which lets Redis do the others when it has none left
    local listed = keep and 0 or call('SREM', index, id)

    call('SETEX', tombstone, '604800', buried or revision)

    if keep then
        return 'superseded'
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

-- fails before anything is written if this is no stream
local before = call('XLEN', KEYS[1])
local reply = {'', nil}

for i = 2, #ARGV do
    local ok, result = pcall(undeploy, ARGV[i])
    reply[i] = (ok or type(result) == 'table') and result or {err = result}
end

-- what is trimmed is not missed
reply[1] = string.format('%d:%d:%s', math.min(before, LENGTH),
                         math.min(before + added, LENGTH), last)

return reply
