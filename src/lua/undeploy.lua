-- Takes credentials out of one environment, each unless a newer one is there,
-- and proves that they are gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix; then members (API:scope:id:revision:operation, escaped)
-- returns  how far the stream of undeployments has come by this call, for
--          acknowledge.lua: its length before and after, and its last id, with
--          colons between; then for each member undeployed, not_deployed,
--          superseded or an error

local P, call = ARGV[1], redis.call
local find, match = string.find, string.match

-- the stream is trimmed to about this length
local LENGTH = 100000

local added, last = 0, ''

local function unescape(s)
    if find(s, '%', 1, true) then
        s = string.gsub(s, '%%(%x%x)', function (hex)
            return string.char(tonumber(hex, 16))
        end)
    end
    return s
end

-- revisions may be larger than what a Lua number holds
local function newer(a, b)
    return #a > #b or (#a == #b and a > b)
end

local function digits(s)
    return s and match(s, '^0*(%d+)$') or '0'
end

local function tell(api, scope, id, revision, operation)
    last = call('XADD', KEYS[1], 'MAXLEN', '~', LENGTH, '*', 'api', api,
                'scope', scope, 'id', id, 'revision', revision,
                'operation', operation)
    added = added + 1

    call('PUBLISH', P .. ':undeployed', cjson.encode({
        api = api, scope = scope, id = id, revision = revision,
        operation = operation
    }))
end

local function undeploy(member)
    local api, names, S, I, revision, operation =
        match(member, '^([^:]+)(:([^:]*):([^:]*)):(%d+):(%x+)$')

    if not api then
        return {err = 'ERR malformed pending entry'}
    end

    local scope, id, own = unescape(S), unescape(I), P .. ':' .. api
    local credential = own .. ':credential' .. names
    local grants = own .. ':grants' .. names
    local index = own .. ':credentials:' .. S
    local tombstone = own .. ':tombstone' .. names

    local copy = digits(call('HGET', credential, 'revision'))
    local buried = digits(call('GET', tombstone))
    local keep = revision ~= '0' and newer(copy, revision)

    -- before other writes: it fails if the index is no set, and it needs no
    -- memory, which lets Redis do the others when it has none left
    local listed = keep and 0 or call('SREM', index, id)

    call('SET', tombstone, newer(buried, revision) and buried or revision,
         'EX', '604800')

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
local reply = {}

for i = 2, #ARGV do
    local ok, result = pcall(undeploy, ARGV[i])
    if not ok then
        result = type(result) == 'table' and result or {err = result}
    end
    reply[i] = result
end

local after = before + added

-- what is cut off in between is not missed

reply[1] = (before < LENGTH and before or LENGTH) .. ':'
           .. (after < LENGTH and after or LENGTH) .. ':' .. last

return reply
