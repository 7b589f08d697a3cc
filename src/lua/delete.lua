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
--          of which the "claimed" ones are for the caller to undeploy now

local P, api, operation = ARGV[1], ARGV[2], ARGV[3]
local scope, id, lease = ARGV[7], ARGV[8], tonumber(ARGV[10])
local role = ARGV[13]

local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- the caller has given up and said that nothing was changed
if now > tonumber(ARGV[4]) then
    return {'late', now}
end

local function escape(s)
    return (string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
end

local subject = ''
local limit, remaining, reset = 0, 0, 0

local function answer(result, op, member, environments)
    local stream, length = KEYS[1], 100000
    if subject == '' then
        -- its own stream: callers without a token must not be able to push
        -- the entries of the others out
        stream, length = P .. ':audit:unauthorized', 10000
    end
    call('XADD', stream, 'MAXLEN', '~', length, '*', 'api', api, 'scope', scope,
         'id', id, 'subject', subject, 'client', ARGV[9], 'result', result,
         'operation', op or '')
    return {result, now, subject, scope, op or '', member or '', limit,
            remaining, reset, unpack(environments or {})}
end

-- the token

local token = call('HMGET', P .. ':' .. api .. ':token:' .. ARGV[5],
                   'subject', 'scope', 'roles', 'expires_at', 'enabled')
local expires = token[4] and (tonumber(token[4]) or 0) * 1000

if not token[1] or token[1] == '' or token[5] == '0'
   or (expires and not (expires > now)) -- a NaN has expired, too
   or (ARGV[6] ~= '' and ARGV[6] ~= token[1])
then
    return answer('unauthorized')
end

subject = token[1]

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
    right = call('HGET', P .. ':' .. api .. ':members' .. owned, subject)
    if not right
       or call('EXISTS', P .. ':' .. api .. ':scope' .. owned) == 0
    then
        return answer('scope_not_found')
    end
end

-- asked twice, since the first answer was lost: it was allowed then
local again = call('EXISTS', P .. ':operation:' .. operation) == 1

if ARGV[12] ~= '0' then
    local key = P .. ':' .. api .. ':rate' .. owned
    local count = call('INCR', key)
    reset = (math.floor(clock[1] / 60) + 1) * 60
    if count == 1 then
        call('EXPIREAT', key, reset)
    end
    limit = tonumber(call('HGET', P .. ':' .. api .. ':scope' .. owned,
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
local credential = P .. ':' .. api .. ':credential' .. names
local open = P .. ':open:' .. api .. names
local found, exists = {}, false

if ARGV[15] ~= 'absent' then
    found = call('HMGET', credential, 'owner', 'revision')
    exists = found[1] or found[2] or call('EXISTS', credential) == 1
end

local function allowed(owner)
    return role == '' or owner == subject
           or string.find(' ' .. (token[3] or '') .. ' ', ' ' .. role .. ' ',
                          1, true)
end

local function decode(receipt)
    local ok, value = pcall(cjson.decode, receipt)
    return ok and type(value) == 'table' and value or {}
end

-- what was deleted before and is not complete: its pending entries that wait
-- for their next attempt are the caller's, those of others stay theirs

local function resume(op, result)
    local fields, kept, environments = {}, {}, {}
    local hash = call('HGETALL', P .. ':operation:' .. op)
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
            local key = P .. ':pending:' .. escape(name)
            local due = tonumber(call('ZSCORE', key, member))
            url = call('HGET', P .. ':environments', name)
            if not url then
                state = 'unregistered'
            elseif not due or due <= now or due == receipt.next
                   or op == operation
            then
                call('ZADD', key, now + lease, member)
                call('SADD', P .. ':pending', name)
                state = 'claimed'
            end
        end
        environments[#environments + 1] = name
        environments[#environments + 1] = url
        environments[#environments + 1] = state
    end
    return answer(result, op, member, environments)
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

if ARGV[14] == '1' and call('SCARD', P .. ':' .. api .. ':uses' .. names) > 0
then
    return answer('in_use')
end

-- the environments

local registered = call('HGETALL', P .. ':environments')
local only = call('SMEMBERS', P .. ':' .. api .. ':environments' .. owned)
local wanted = #only > 0 and {}
local environments, names_only, bytes = {}, {}, 0

for _, name in ipairs(only) do
    wanted[name] = true
end

-- the reads among these checks fail where a write below would find a key of
-- another type

local index = P .. ':' .. api .. ':credentials' .. owned

call('SISMEMBER', index, id)
call('SCARD', P .. ':pending')
call('XLEN', KEYS[1])

for i = 1, #registered, 2 do
    local name = registered[i]
    if not wanted or wanted[name] then
        call('ZCARD', P .. ':pending:' .. escape(name))
        names_only[#names_only + 1] = name
        environments[#environments + 1] = name
        environments[#environments + 1] = registered[i + 1]
        environments[#environments + 1] = 'claimed'
        bytes = bytes + #name + #registered[i + 1]
    end
end

if #names_only > 1024 or bytes > 524288 then
    return redis.error_reply('ERR too many environments')
end

-- all checks passed

local revision = string.match(found[2] or '', '^0*(%d+)$') or '0'
local member = api .. names .. ':' .. revision .. ':' .. operation
local fields = {
    'api', api, 'scope', scope, 'id', id, 'revision', revision,
    'owner', found[1] or '', 'subject', subject, 'client', ARGV[9],
    'created_at', now, 'environments', #names_only, 'pending', #names_only
}

for _, name in ipairs(names_only) do
    fields[#fields + 1] = 'environment:' .. name
    fields[#fields + 1] = '{"state":"pending","attempts":0}'
end

call('HSET', P .. ':operation:' .. operation, unpack(fields))
call('DEL', credential, P .. ':' .. api .. ':grants' .. names)
call('SREM', index, id)

if #names_only > 0 then
    for _, name in ipairs(names_only) do
        call('ZADD', P .. ':pending:' .. escape(name), now + lease, member)
    end
    call('SADD', P .. ':pending', unpack(names_only))
    call('SET', open, operation)
else
    call('HSET', P .. ':operation:' .. operation, 'completed_at', now)
    call('EXPIRE', P .. ':operation:' .. operation, 604800)
end

return answer('deleted', operation, member, environments)
