-- Takes credentials out of one environment, each unless a newer one is there,
-- and proves that they are gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix; then members (API:scope:id:revision:operation, escaped)
-- returns  for each member undeployed, not_deployed, superseded or an error

local P, call = ARGV[1], redis.call
local find, match = string.find, string.match

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

local function undeploy(member)
    local api, names, S, I, revision, operation =
        match(member, '^([^:]+)(:([^:]*):([^:]*)):(%d+):(%x+)$')

    if not api then
        return {err = 'ERR malformed pending entry'}
    end

    local scope, id = unescape(S), unescape(I)
    local own = P .. ':' .. api
    local credential, grants = own .. ':credential' .. names,
                               own .. ':grants' .. names
    local index, tombstone = own .. ':credentials:' .. S,
                             own .. ':tombstone' .. names

    local copy = digits(call('HGET', credential, 'revision'))
    local last = digits(call('GET', tombstone))
    local keep = revision ~= '0' and newer(copy, revision)

    -- before other writes: it fails if the index is no set, and it needs no
    -- memory, which lets Redis do the others when it has none left
    local listed = keep and 0 or call('SREM', index, id)

    call('SET', tombstone, newer(last, revision) and last or revision,
         'EX', '604800')

    if keep then
        return 'superseded'
    end

    local deleted = call('DEL', credential, grants)

    call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
         'scope', scope, 'id', id, 'revision', revision, 'operation', operation)
    call('PUBLISH', P .. ':undeployed', cjson.encode({
        api = api, scope = scope, id = id, revision = revision,
        operation = operation
    }))

    if call('EXISTS', credential, grants) > 0
       or call('SISMEMBER', index, id) == 1
    then
        return {err = 'ERR credential is still there'}
    end

    return (deleted > 0 or listed > 0) and 'undeployed' or 'not_deployed'
end

-- fails before anything is written if this is no stream
call('XLEN', KEYS[1])

local reply = {}

for i = 2, #ARGV do
    local ok, result = pcall(undeploy, ARGV[i])
    if not ok then
        result = type(result) == 'table' and result or {err = result}
    end
    reply[i - 1] = result
end

return reply
