-- Takes credentials out of one environment, each unless a newer one is there,
-- and proves that they are gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix, and the key that stream.lua made for this connection; then
--          members (API:scope:id:revision:operation, escaped)
-- returns  how many calls there were by this connection, the last id of the
--          stream by this one or "", with a colon between; then for each member
--          undeployed, not_deployed, superseded or an error

local P, call, last = ARGV[1], redis.call, ''

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
call('XLEN', KEYS[1])

local reply = {'', nil}

for i = 3, #ARGV do
    local ok, result = pcall(undeploy, ARGV[i])
    reply[i - 1] = (ok or type(result) == 'table') and result or {err = result}
end

-- An environment that has lost its memory since the last call has lost this
-- key, too, or counts from what it was.  After other writes: it needs memory
reply[1] = string.format('%d:%s', call('INCR', ARGV[2]), last)

return reply
