-- Deletes credentials in the registry, each for itself: all is checked before
-- anything is written, since a script has no rollback.  It runs in one step, so
-- credential, grants, index entry, operation and pending entries change
-- together or not at all.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, lease (ms), API and its rules: membership (0|1), deletes per
--          minute (0: any number), role or "", uses (0|1), and the deadline
--          (ms, by this Redis' clock); then for each delete operation, SHA-256
--          of the token, required subject or "", scope or "" (the token's own),
--          id, client address and how far to go: all, absent (no credential has
--          this id), nowhere (nor this scope), token, or again (all, and it may
--          be done already)
-- returns  time (ms) and an array of cascades; then for each delete "late",
--          "full" (no room in this reply, nothing was done), "unauthorized", or
--          an array of result, subject, scope, member, which of the cascades
--          (0: none) and, if it was counted, limit, remaining and reset (s).
--          A cascade is name, URL and state of each environment, of which the
--          "claimed" ones are for the caller to undeploy now

local P, api, role = ARGV[1], ARGV[3], ARGV[6]
local membership, uses = ARGV[4] == '1', ARGV[7] == '1'
local per_minute, deadline = tonumber(ARGV[5]), tonumber(ARGV[8])
local FIRST, STRIDE = 9, 7

local URL_LENGTH, ENVIRONMENTS, ENVIRONMENTS_BYTES = 4096, 1024, 524288

local call, try = redis.call, redis.pcall
local find, match = string.find, string.match
local clock = call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)

local own = P .. ':' .. api
local operations = P .. ':operation:'
local pendings = P .. ':pending'
local index = P .. ':operations'

-- numbers go to Redis as strings, which it would format as floats
local lease = now + ARGV[2]
local due = string.format('%d%03d', lease / 1000, lease % 1000)

-- what was read for one delete holds for the others, too
local tokens, rights, scopes = {}, {}, {}

-- the caller bounds what it reads
local cascades, room, bytes = {}, 7000, 786432
local reply, refused = {now, cascades}, {}

local function escape(s)
    if find(s, ':', 1, true) or find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

local function asked(i)
    return {operation = ARGV[i], token = ARGV[i + 1], required = ARGV[i + 2],
            scope = ARGV[i + 3], id = ARGV[i + 4], client = ARGV[i + 5],
            how = ARGV[i + 6]}
end

local function audit(ask, result, operation, ...)
    call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
         'scope', ask.scope, 'id', ask.id, 'subject', ask.subject,
         'client', ask.client, 'result', result, 'operation', operation, ...)
end

local function answer(ask, result, member, cascade)
    return {result, ask.subject, ask.scope, member or '', cascade or 0,
            ask.limit, ask.remaining, ask.reset}
end

local function refuse(ask, result)
    audit(ask, result, '')
    return answer(ask, result)
end

-- audits refused tokens, those of a client for one credential together: in a
-- stream of its own, since callers without a token must not be able to push the
-- entries of the others out

local function audit_refused()
    if #refused > 0 then
        local count = #refused > 1 and {'count', #refused} or {}
        local done = try('XADD', KEYS[1] .. ':unauthorized', 'MAXLEN', '~',
                         '10000', '*', 'api', api, 'scope', refused.scope,
                         'id', refused.id, 'subject', '',
                         'client', refused.client, 'result', 'unauthorized',
                         'operation', '', unpack(count))
        for _, n in ipairs(type(done) == 'table' and refused or {}) do
            reply[n] = done
        end
    end
    refused = {}
end

local function unauthorized(ask)
    if refused.scope ~= ask.scope or refused.id ~= ask.id
       or refused.client ~= ask.client
    then
        audit_refused()
        refused = {scope = ask.scope, id = ask.id, client = ask.client}
    end
    refused[#refused + 1] = #reply + 1
    return 'unauthorized'
end

-- checks: each returns the result that it ends with, or nil

local function valid(token)
    if not token[1] or token[1] == '' or token[5] == '0' then
        return false
    end
    -- a NaN has expired, too
    return not token[4] or (tonumber(token[4]) or 0) * 1000 > now
end

local function check_token(ask)
    local token = tokens[ask.token]

    if token == nil then
        local key = own .. ':token:' .. ask.token
        token = call('EXISTS', key) == 1
                and call('HMGET', key, 'subject', 'scope', 'roles',
                         'expires_at', 'enabled')
        token = token and valid(token) and token
        tokens[ask.token] = token
    end

    if not token or (ask.required ~= '' and ask.required ~= token[1]) then
        return 'unauthorized'
    end

    ask.subject, ask.roles = token[1], token[3] or ''
    ask.scope = ask.scope ~= '' and ask.scope or token[2] or ''
end

local function check_scope(ask)
    local owned = ':' .. escape(ask.scope)
    ask.owned, ask.right = owned, 'manage'

    if ask.how == 'nowhere' then
        return 'scope_not_found'
    end

    if membership then
        local name = owned .. ':' .. ask.subject
        local right = rights[name]
        if right == nil then
            right = call('EXISTS', own .. ':scope' .. owned) == 1
                    and call('HGET', own .. ':members' .. owned, ask.subject)
            rights[name] = right
        end
        if not right then
            return 'scope_not_found'
        end
        ask.right = right
    end
end

-- A minute has a key of its own, which needs no expiry to be over.  What is
-- asked again was counted the first time

local function check_rate(ask)
    local minute = math.floor(clock[1] / 60)
    local key = own .. ':rate' .. ask.owned .. ':' .. minute
    local limit = call('HGET', own .. ':scope' .. ask.owned, 'rate_limit')
    local count

    if ask.again then
        count = tonumber(call('GET', key)) or 1
    else
        count = call('INCR', key)
        ask.counted = key
        if count == 1 then
            call('EXPIRE', key, '120')
        end
    end

    ask.limit = limit and match(limit, '^%d%d?%d?%d?%d?%d?%d?%d?%d?$')
                and tonumber(limit) or per_minute
    ask.remaining = math.max(ask.limit - count, 0)
    ask.reset = (minute + 1) * 60

    return count > ask.limit and not ask.again and 'rate_limited' or nil
end

local function allowed(ask, owner)
    return role == '' or owner == ask.subject
           or find(' ' .. ask.roles .. ' ', ' ' .. role .. ' ', 1, true)
end

-- gives the cascade its place in the reply, if there is room.  After the first
-- one that there is no room for there is none for any other

local function place(cascade)
    for _, s in ipairs(cascade) do
        bytes = bytes - #s
    end
    room = room - #cascade
    if #cascades > 0 and (room < 0 or bytes < 0) then
        return
    end
    cascades[#cascades + 1] = cascade
    return #cascades
end

-- one URL that is too long must not fill the reply; it is none
local function usable(url)
    return #url <= URL_LENGTH and url or ''
end

-- an operation that was deleted before and is not complete

local function read_operation(operation)
    local fields, receipts = {}, {}
    local hash = call('HGETALL', operations .. operation)

    for i = 1, #hash, 2 do
        local name = match(hash[i], '^environment:(.*)$')
        if name then
            local ok, receipt = pcall(cjson.decode, hash[i + 1])
            receipts[#receipts + 1] = {name = name,
                is = ok and type(receipt) == 'table' and receipt or {}}
        else
            fields[hash[i]] = hash[i + 1]
        end
    end

    return fields, receipts
end

-- its pending entries that wait for their next attempt are the caller's, those
-- of others stay theirs

local function claimable(entry, member, mine)
    entry.key = pendings .. ':' .. escape(entry.name)
    entry.url = call('HGET', P .. ':environments', entry.name)

    -- it may be registered again: that is waited for
    if not entry.url then
        return 'pending'
    end

    local score = tonumber(call('ZSCORE', entry.key, member))

    if not score or score <= now or score == entry.is.next or mine then
        return 'claimed'
    end
    return 'pending'
end

local function resume(ask, operation, result)
    if room < 0 or bytes < 0 then
        return 'full'
    end

    local fields, receipts = read_operation(operation)

    if not fields.api then
        -- somebody has deleted it
        call('DEL', ask.open)
        return refuse(ask, 'not_found')
    end
    if not allowed(ask, fields.owner) then
        return refuse(ask, 'forbidden')
    end

    local member = api .. ask.names .. ':' .. (fields.revision or '0') .. ':'
                   .. operation
    local cascade = {}

    for _, entry in ipairs(receipts) do
        entry.state = entry.is.state or 'pending'
        if entry.state == 'pending' then
            entry.state = claimable(entry, member, operation == ask.operation)
        end
        local n = #cascade
        cascade[n + 1], cascade[n + 2] = entry.name, usable(entry.url or '')
        cascade[n + 3] = entry.state
    end

    local number = place(cascade)
    if not number then
        return 'full'
    end

    for _, entry in ipairs(receipts) do
        if entry.state == 'claimed' then
            call('ZADD', entry.key, due, member)
            call('SADD', pendings, entry.name)
        end
    end

    -- what is asked twice was audited the first time
    if result ~= 'deleted' then
        audit(ask, result, operation)
    end
    return answer(ask, result, member, number)
end

-- the environments that concern a scope

local function wanted(owned)
    local only = call('SMEMBERS', own .. ':environments' .. owned)
    local set = #only > 0 and {}

    for _, name in ipairs(only) do
        set[name] = true
    end
    return set
end

local function concern(owned)
    local set, all = wanted(owned), call('HGETALL', P .. ':environments')
    local names, keys, fields, cascade = {}, {}, {}, {}
    local count, size = 0, 0

    for i = 1, #all, 2 do
        local name = all[i]
        if not set or set[name] then
            local url = usable(all[i + 1])
            local n, f = 3 * count, 2 * count
            count, size = count + 1, size + #name + #url
            names[count], keys[count] = name, pendings .. ':' .. escape(name)
            fields[f + 1] = 'environment:' .. name
            fields[f + 2] = '{"state":"pending","attempts":0}'
            cascade[n + 1], cascade[n + 2] = name, url
            cascade[n + 3] = 'claimed'
        end
    end

    if count > ENVIRONMENTS or size > ENVIRONMENTS_BYTES then
        return {err = 'ERR too many environments'}
    end

    local number = place(cascade)
    if not number then
        return 'full'
    end

    scopes[owned] = {names = names, keys = keys, fields = fields,
                     cascade = number, count = string.format('%d', count)}
    return scopes[owned]
end

-- What may fail, because somebody has put a key of another type there, comes
-- before the credential is deleted.  What leads on to the environments comes
-- first, for a Redis that was killed while it wrote this and runs only its
-- beginning.

local function record(ask, found, concerned, member)
    local key, operation = operations .. ask.operation, ask.operation
    local unusable = found.unusable and {'unusable_revision', found.unusable}
                     or {}
    local ignored = found.unusable and {'revision', found.unusable} or {}

    call('HSET', key, 'api', api, 'scope', ask.scope, 'id', ask.id,
         'revision', found.revision, 'owner', found.owner,
         'subject', ask.subject, 'client', ask.client, 'created_at', stamp,
         'environments', concerned.count, 'pending', concerned.count,
         unpack(concerned.fields))

    if #unusable > 0 then
        call('HSET', key, unpack(unusable))
    end
    if #concerned.names > 0 then
        call('SADD', pendings, unpack(concerned.names))
        concerned.names = {}
    end
    for _, pending in ipairs(concerned.keys) do
        call('ZADD', pending, due, member)
    end

    call('ZADD', index, stamp, operation)
    found.listed = call('SREM', own .. ':credentials' .. ask.owned, ask.id)
    audit(ask, 'deleted', operation, unpack(ignored))
end

local function undo(ask, found, concerned, member)
    for _, pending in ipairs(concerned.keys) do
        try('ZREM', pending, member)
    end
    try('ZREM', index, ask.operation)
    call('DEL', operations .. ask.operation)
    if found.listed == 1 then
        call('SADD', own .. ':credentials' .. ask.owned, ask.id)
    end
end

local function delete(ask, found)
    local concerned = scopes[ask.owned] or concern(ask.owned)
    if concerned == 'full' or concerned.err then
        return concerned
    end

    local operation = ask.operation
    local member = api .. ask.names .. ':' .. found.revision .. ':' .. operation
    local ok, failure = pcall(record, ask, found, concerned, member)

    if not ok then
        undo(ask, found, concerned, member)
        error(failure, 0)
    end

    call('DEL', ask.credential, own .. ':grants' .. ask.names)

    local key = operations .. operation

    if concerned.count == '0' then
        call('HSET', key, 'completed_at', stamp)
        call('EXPIRE', key, '604800')
    else
        -- one that is still open comes back when this one is complete
        local previous = try('GETSET', ask.open, operation)
        if type(previous) == 'string' then
            call('HSET', key, 'previous', previous)
        elseif previous then
            call('SET', ask.open, operation)
        end
    end

    return answer(ask, 'deleted', member, concerned.cascade)
end

-- owner and revision; a revision that is no positive integer is none
local function read_credential(ask)
    local found = call('HMGET', ask.credential, 'owner', 'revision')
    local owner, revision = found[1], found[2]

    if not owner and not revision and call('EXISTS', ask.credential) == 0 then
        return
    end

    local digits = revision and match(revision, '^0*(%d+)$')

    return {owner = owner or '', revision = digits or '0',
            unusable = revision and not digits and string.sub(revision, 1, 512)}
end

local function serve(ask)
    if check_token(ask) then
        return unauthorized(ask)
    end
    if ask.how == 'token' then
        return refuse(ask, 'invalid')
    end

    local refusal = check_scope(ask)
    if refusal then
        return refuse(ask, refusal)
    end

    -- the first answer was lost: it was allowed then
    ask.again = ask.how == 'again'
                and call('EXISTS', operations .. ask.operation) == 1

    refusal = per_minute > 0 and check_rate(ask)
              or ask.right ~= 'manage' and 'forbidden'
    if refusal then
        return refuse(ask, refusal)
    end

    ask.names = ask.owned .. ':' .. escape(ask.id)
    ask.credential = own .. ':credential' .. ask.names
    ask.open = P .. ':open:' .. api .. ask.names

    if ask.again then
        return resume(ask, ask.operation, 'deleted')
    end
    if ask.how == 'absent' then
        return refuse(ask, 'not_found')
    end

    local found = read_credential(ask)

    if not found then
        local operation = call('GET', ask.open)
        return operation and resume(ask, operation, 'resumed')
               or refuse(ask, 'not_found')
    end
    if not allowed(ask, found.owner) then
        return refuse(ask, 'forbidden')
    end
    if uses and call('SCARD', own .. ':uses' .. ask.names) > 0 then
        return refuse(ask, 'in_use')
    end

    return delete(ask, found)
end

for i = FIRST, #ARGV, STRIDE do
    local ask, ok, result = asked(i), true, 'late'
    if now <= deadline
       or (ask.how == 'again'
           and try('EXISTS', operations .. ask.operation) == 1)
    then
        ok, result = pcall(serve, ask)
    end
    if result == 'full' and ask.counted then
        try('DECR', ask.counted)
    end
    if not ok then
        result = type(result) == 'table' and result or {err = result}
    end
    reply[#reply + 1] = result
end

audit_refused()

return reply
