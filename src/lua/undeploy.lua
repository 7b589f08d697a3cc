-- Takes one credential out of one environment, unless a newer one is there,
-- and proves that it is gone.
--
-- KEYS[1]  P:undeployments
-- ARGV     prefix, member (API:scope:id:revision:operation, escaped)
-- returns  undeployed, not_deployed or superseded

local call = redis.call
local api, names, S, I, revision, operation =
    string.match(ARGV[2], '^([^:]+)(:([^:]*):([^:]*)):(%d+):(%x+)$')

if not api then
    return redis.error_reply('ERR malformed pending entry')
end

local function unescape(s)
    if string.find(s, '%', 1, true) then
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
    return s and string.match(s, '^0*(%d+)$') or '0'
end

local P = ARGV[1] .. ':' .. api
local credential, grants = P .. ':credential' .. names, P .. ':grants' .. names
local index, tombstone = P .. ':credentials:' .. S, P .. ':tombstone' .. names
local id = unescape(I)

local copy = digits(call('HGET', credential, 'revision'))
local listed = call('SISMEMBER', index, id)
local last = digits(call('GET', tombstone))

call('XLEN', KEYS[1])

call('SET', tombstone, newer(last, revision) and last or revision,
     'EX', '604800')

if revision ~= '0' and newer(copy, revision) then
    return 'superseded'
end

local deleted = call('DEL', credential, grants)

if listed == 1 then
    call('SREM', index, id)
end

local scope = unescape(S)

call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
     'scope', scope, 'id', id, 'revision', revision, 'operation', operation)
call('PUBLISH', ARGV[1] .. ':undeployed', cjson.encode({
    api = api, scope = scope, id = id, revision = revision,
    operation = operation
}))

if call('EXISTS', credential, grants) > 0
   or call('SISMEMBER', index, id) == 1
then
    return redis.error_reply('ERR credential is still there')
end

return (deleted > 0 or listed == 1) and 'undeployed' or 'not_deployed'
