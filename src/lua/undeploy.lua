-- Takes one credential out of one environment, unless a newer one is there,
-- and proves that it is gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix, member (API:scope:id:revision:operation, escaped)
-- returns  undeployed, not_deployed or superseded

local P = ARGV[1]
local call = redis.call
local api, S, I, revision, operation =
    string.match(ARGV[2], '^([^:]+):([^:]*):([^:]*):(%d+):(%x+)$')

if not api then
    return redis.error_reply('ERR malformed pending entry')
end

local function unescape(s)
    return (string.gsub(s, '%%(%x%x)', function (hex)
        return string.char(tonumber(hex, 16))
    end))
end

-- revisions may be larger than what a Lua number holds
local function newer(a, b)
    return #a > #b or (#a == #b and a > b)
end

local names = ':' .. S .. ':' .. I
local credential = P .. ':' .. api .. ':credential' .. names
local grants = P .. ':' .. api .. ':grants' .. names
local index = P .. ':' .. api .. ':credentials:' .. S
local tombstone = P .. ':' .. api .. ':tombstone' .. names
local id = unescape(I)

local deployed = call('HGET', credential, 'revision')
local listed = call('SISMEMBER', index, id)
local copy = string.match(deployed or '', '^0*(%d+)$') or '0'
local last = string.match(call('GET', tombstone) or '', '^0*(%d+)$') or '0'

call('XLEN', KEYS[1])

call('SET', tombstone, newer(last, revision) and last or revision,
     'EX', 604800)

if revision ~= '0' and newer(copy, revision) then
    return 'superseded'
end

local deleted = call('DEL', credential, grants)

if listed == 1 then
    call('SREM', index, id)
end

local scope = unescape(S)

call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'api', api, 'scope', scope,
     'id', id, 'revision', revision, 'operation', operation)
call('PUBLISH', P .. ':undeployed', cjson.encode({
    api = api, scope = scope, id = id, revision = revision,
    operation = operation
}))

if call('EXISTS', credential, grants) > 0
   or call('SISMEMBER', index, id) == 1
then
    return redis.error_reply('ERR credential is still there')
end

return (deleted > 0 or listed == 1) and 'undeployed' or 'not_deployed'
