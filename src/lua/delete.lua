-- Deletes a credential in the registry: checks everything, then writes, since
-- a script has no rollback.  It runs in one step, so credential, grants, index
-- entry, operation and pending entries change together or not at all.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, API, operation, deadline (ms, by this Redis' clock),
--          SHA-256 of the token, required subject or "", scope or "" (the
--          token's own), id, client address, lease (ms); then the rules:
--          membership (0|1), deletes per minute (0: any number), role or "",
--          uses (0|1); and how far to go (all, absent, token)
-- returns  result, time (ms), subject, scope, operation, member, rate limit,
--          remaining, reset (s); then name, URL and state of each environment,
--          of which the "claimed" ones are for the caller to undeploy now;
--          or just the first two, if the token is invalid

local P, api, operation = ARGV[1], ARGV[2], ARGV[3]
local scope, id, role = ARGV[7], ARGV[8], ARGV[13]

local call, find = redis.call, string.find
local clock = call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)
local own = P .. ':' .. api

-- the caller has given up and said that nothing was changed
if now > tonumber(ARGV[4]) then
    return {'late', now}
end

-- the token

local token = call('HMGET', own .. ':token:' .. ARGV[5],
                   'subject', 'scope', 'roles', 'expires_at', 'enabled')
local subject = token[1]
local expires = token[4] and (tonumber(token[4]) or 0) * 1000

if not subject or subject == '' or token[5] == '0'
   or (expires and not (expires > now)) -- a NaN has expired, too
   or (ARGV[6] ~= '' and ARGV[6] ~= subject)
then
    -- a stream of its own: callers without a token must not be able to push
    -- the entries of the others out
    call('XADD', P .. ':audit:unauthorized', 'MAXLEN', '~', '10000', '*',
         'api', api, 'scope', scope, 'id', id, 'subject', '',
         'client', ARGV[9], 'result', 'unauthorized', 'operation', '')
    return {'unauthorized', now}
end

local function escape(s)
    if find(s, ':', 1, true) or find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

local pendings = P .. ':pending'

-- numbers go to Redis as strings, which it would format as floats
local lease = now + ARGV[10]
local due = string.format('%d%03d', lease / 1000, lease % 1000)

local again = false
local limit, remaining, reset = 0, 0, 0

local function answer(result, op, member, reply)
    -- what is asked twice was audited the first time
    if not (again and result == 'deleted') then
        call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
             'scope', scope, 'id', id, 'subject', subject, 'client', ARGV[9],
             'result', result, 'operation', op or '')
    end
    reply = reply or {}
    reply[1], reply[2], reply[3], reply[4] = result, now, subject, scope
    reply[5], reply[6] = op or '', member or ''
    reply[7], reply[8], reply[9] = limit, remaining, reset
    return reply
end

if scope == '' then
    scope = token[2] or ''
end

if ARGV[15] == 'token' then
    return answer('invalid')
end

-- the scope

local owned = ':' .. escape(scope)
local right

if ARGV[11] == '1' then
    right = call('HGET', own .. ':members' .. owned, subject)
    if not right
       or call('EXISTS', own .. ':scope' .. owned) == 0
    then
        return answer('scope_not_found')
    end
end

-- asked twice, since the first answer was lost: it was allowed then
local operations = P .. ':operation:'
again = call('EXISTS', operations .. operation) == 1

if ARGV[12] ~= '0' then
    local key = own .. ':rate' .. owned
    local count = tonumber(call(again and 'GET' or 'INCR', key)) or 1
    reset = (math.floor(clock[1] / 60) + 1) * 60
    if count == 1 and not again then
        call('EXPIREAT', key, reset)
    end
    limit = tonumber(call('HGET', own .. ':scope' .. owned,
                          'rate_limit')) or tonumber(ARGV[12])
    remaining = math.max(limit - count, 0)
    if count > limit and not again then
        return answer('rate_limited')
    end
end

if right and right ~= 'manage' then
    return answer('forbidden')
end

-- the credential

local names = owned .. ':' .. escape(id)
local credential = own .. ':credential' .. names
local open = P .. ':open:' .. api .. names
local found, exists = {}, false

if ARGV[15] ~= 'absent' then
    found = call('HMGET', credential, 'owner', 'revision')
    exists = found[1] or found[2] or call('EXISTS', credential) == 1
end

local function allowed(owner)
    return role == '' or owner == subject
           or find(' ' .. (token[3] or '') .. ' ', ' ' .. role .. ' ', 1, true)
end

local function decode(receipt)
    local ok, value = pcall(cjson.decode, receipt)
    return ok and type(value) == 'table' and value or {}
end

-- what was deleted before and is not complete: its pending entries that wait
-- for their next attempt are the caller's, those of others stay theirs

local function resume(op, result)
    local fields, kept, reply = {}, {}, {0, 0, 0, 0, 0, 0, 0, 0, 0}
    local hash = call('HGETALL', operations .. op)
    for i = 1, #hash, 2 do
        local name = string.match(hash[i], '^environment:(.*)$')
        if name then
            kept[#kept + 1] = {name, decode(hash[i + 1])}
        else
            fields[hash[i]] = hash[i + 1]
        end
    end
    if not fields.api then
        return answer('not_found')
    end
    if not allowed(fields.owner) then
        return answer('forbidden')
    end
    local member = api .. names .. ':' .. (fields.revision or '0') .. ':' .. op
    for _, entry in ipairs(kept) do
        local name, receipt = entry[1], entry[2]
        local state = receipt.state or 'pending'
        local url = ''
        if state == 'pending' then
            local key = pendings .. ':' .. escape(name)
            local score = tonumber(call('ZSCORE', key, member))
            url = call('HGET', P .. ':environments', name)
            if not url then
                state = 'unregistered'
            elseif not score or score <= now or score == receipt.next
                   or op == operation
            then
                call('ZADD', key, due, member)
                call('SADD', pendings, name)
                state = 'claimed'
            end
        end
        local n = #reply
        reply[n + 1], reply[n + 2], reply[n + 3] = name, url, state
    end
    return answer(result, op, member, reply)
end

if again then
    return resume(operation, 'deleted')
end

if not exists then
    local op = ARGV[15] ~= 'absent' and call('GET', open)
    return op and resume(op, 'resumed') or answer('not_found')
end

if not allowed(found[1]) then
    return answer('forbidden')
end

if ARGV[14] == '1' and call('SCARD', own .. ':uses' .. names) > 0
then
    return answer('in_use')
end

-- the environments

local registered = call('HGETALL', P .. ':environments')
local only = call('SMEMBERS', own .. ':environments' .. owned)
local wanted = #only > 0 and {}

for _, name in ipairs(only) do
    wanted[name] = true
end

-- the reads among these checks fail where a write below would find a key of
-- another type

local index = own .. ':credentials' .. owned

call('SISMEMBER', index, id)
call('SCARD', pendings)
call('XLEN', KEYS[1])

local revision = string.match(found[2] or '', '^0*(%d+)$') or '0'
local member = api .. names .. ':' .. revision .. ':' .. operation
local reply = {0, 0, 0, 0, 0, 0, 0, 0, 0}
local fields = {
    'api', api, 'scope', scope, 'id', id, 'revision', revision,
    'owner', found[1] or '', 'subject', subject, 'client', ARGV[9],
    'created_at', stamp, 'environments', '', 'pending', ''
}
local count, bytes, keys, deployed = 0, 0, {}, {}

for i = 1, #registered, 2 do
    local name, url = registered[i], registered[i + 1]
    if not wanted or wanted[name] then
        local key = pendings .. ':' .. escape(name)
        call('ZCARD', key)
        local r, f = 9 + 3 * count, 20 + 2 * count
        reply[r + 1], reply[r + 2], reply[r + 3] = name, url, 'claimed'
        fields[f + 1] = 'environment:' .. name
        fields[f + 2] = '{"state":"pending","attempts":0}'
        count = count + 1
        keys[count], deployed[count] = key, name
        bytes = bytes + #name + #url
    end
end

if count > 1024 or bytes > 524288 then
    return redis.error_reply('ERR too many environments')
end

-- all checks passed

local key = operations .. operation

fields[18] = string.format('%d', count)
fields[20] = fields[18]

call('HSET', key, unpack(fields))
call('DEL', credential, own .. ':grants' .. names)
call('SREM', index, id)

if count > 0 then
    for i = 1, count do
        call('ZADD', keys[i], due, member)
    end
    call('SADD', pendings, unpack(deployed))

    -- one that is still open comes back when this one is complete
    local previous = redis.pcall('GETSET', open, operation)
    if type(previous) == 'string' then
        call('HSET', key, 'previous', previous)
    elseif previous then
        call('SET', open, operation)
    end
else
    call('HSET', key, 'completed_at', stamp)
    call('EXPIRE', key, '604800')
end

return answer('deleted', operation, member, reply)
