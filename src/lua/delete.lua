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
--          id, client address and how far to go: all, absent, token, or again
--          (all, and it may be done already)
-- returns  time (ms) and an array of cascades; then for each delete "late",
--          "full" (no room in this reply, nothing was done), "unauthorized", or
--          an array of result, subject, scope, member, which of the cascades
--          (0: none) and, if it was counted, limit, remaining and reset (s).
--          A cascade is name, URL and state of each environment, of which the
--          "claimed" ones are for the caller to undeploy now

local P, api, role = ARGV[1], ARGV[3], ARGV[6]
local membership, counted, uses = ARGV[4] == '1', ARGV[5] ~= '0', ARGV[7] == '1'
local deadline = tonumber(ARGV[8])

local call, try, find = redis.call, redis.pcall, string.find
local clock = call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)

local own = P .. ':' .. api
local operations = P .. ':operation:'
local pendings = P .. ':pending'

-- numbers go to Redis as strings, which it would format as floats
local lease = now + ARGV[2]
local due = string.format('%d%03d', lease / 1000, lease % 1000)

-- what was read for one delete holds for the others, too
local tokens, rights, scopes = {}, {}, {}

-- the caller bounds what it reads
local cascades, room, bytes = {}, 7000, 786432
local reply, refused = {now, cascades}, {}

local this -- the delete at hand

local function escape(s)
    if find(s, ':', 1, true) or find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

local function answer(result, op, member, cascade)
    -- what is asked twice was audited the first time
    if not (this.again and result == 'deleted') then
        call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
             'scope', this.scope, 'id', this.id, 'subject', this.subject,
             'client', this.client, 'result', result, 'operation', op or '')
    end
    return {result, this.subject, this.scope, member or '', cascade or 0,
            this.limit, this.remaining, this.reset}
end

local function allowed(owner)
    return role == '' or owner == this.subject
           or find(' ' .. this.roles .. ' ', ' ' .. role .. ' ', 1, true)
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

-- what was deleted before and is not complete: its pending entries that wait
-- for their next attempt are the caller's, those of others stay theirs

local function resume(op, names, result)
    if room < 0 or bytes < 0 then
        return 'full'
    end

    local fields, kept, cascade, claimed = {}, {}, {}, {}
    local hash = call('HGETALL', operations .. op)

    for i = 1, #hash, 2 do
        local name = string.match(hash[i], '^environment:(.*)$')
        if name then
            kept[#kept + 1] = {name, hash[i + 1]}
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
        local ok, receipt = pcall(cjson.decode, entry[2])
        receipt = ok and type(receipt) == 'table' and receipt or {}
        local name, state, url = entry[1], receipt.state or 'pending', ''

        if state == 'pending' then
            local key = pendings .. ':' .. escape(name)
            local score = tonumber(call('ZSCORE', key, member))
            url = call('HGET', P .. ':environments', name)
            if not url then
                state, url = 'unregistered', ''
            elseif not score or score <= now or score == receipt.next
                   or op == this.operation
            then
                state = 'claimed'
                claimed[#claimed + 1] = {name, key}
            end
        end

        local n = #cascade
        cascade[n + 1], cascade[n + 2], cascade[n + 3] = name, url, state
    end

    local number = place(cascade)
    if not number then
        return 'full'
    end

    for _, entry in ipairs(claimed) do
        call('ZADD', entry[2], due, member)
        call('SADD', pendings, entry[1])
    end

    return answer(result, op, member, number)
end

-- the environments that concern a scope.  The reads among these checks fail
-- where a write would find a key of another type

local function concern(owned)
    local all = call('HGETALL', P .. ':environments')
    local only = call('SMEMBERS', own .. ':environments' .. owned)
    local wanted = #only > 0 and {}
    local names, keys, fields, cascade = {}, {}, {}, {}
    local count, size = 0, 0

    call('SCARD', pendings)
    call('XLEN', KEYS[1])

    for _, name in ipairs(only) do
        wanted[name] = true
    end

    for i = 1, #all, 2 do
        local name, url = all[i], all[i + 1]
        if not wanted or wanted[name] then
            local n, f = 3 * count, 2 * count
            count, size = count + 1, size + #name + #url
            names[count], keys[count] = name, pendings .. ':' .. escape(name)
            fields[f + 1] = 'environment:' .. name
            fields[f + 2] = '{"state":"pending","attempts":0}'
            cascade[n + 1], cascade[n + 2] = name, url
            cascade[n + 3] = 'claimed'
            call('ZCARD', keys[count])
        end
    end

    if count > 1024 or size > 524288 then
        return {err = 'ERR too many environments'}
    end

    local number = place(cascade)
    if not number then
        return 'full'
    end
    scopes[owned] = {names = count > 0 and names, keys = keys, fields = fields,
                     cascade = number, count = string.format('%d', count)}
    return scopes[owned]
end

-- audits refused tokens, those of a client for one credential together: in a
-- stream of its own, since callers without a token must not be able to push the
-- entries of the others out

local function refuse()
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

local function delete(i)
    local operation, hash, required, scope, id, client, how =
        unpack(ARGV, i, i + 6)
    local subject

    -- the token

    local token = tokens[hash]

    if token == nil then
        local key = own .. ':token:' .. hash
        token = call('EXISTS', key) == 1
                and call('HMGET', key, 'subject', 'scope', 'roles',
                         'expires_at', 'enabled')
        local expires = token and token[4] and (tonumber(token[4]) or 0) * 1000
        if token and (not token[1] or token[1] == '' or token[5] == '0'
                      or (expires and not (expires > now))) -- a NaN has, too
        then
            token = false
        end
        tokens[hash] = token
    end

    if not token or (required ~= '' and required ~= token[1]) then
        if refused.scope ~= scope or refused.id ~= id
           or refused.client ~= client
        then
            refuse()
            refused = {scope = scope, id = id, client = client}
        end
        refused[#refused + 1] = #reply + 1
        return 'unauthorized'
    end

    subject = token[1]
    scope = scope ~= '' and scope or token[2] or ''

    this = {operation = operation, scope = scope, id = id, subject = subject,
            roles = token[3] or '', client = client}

    if how == 'token' then
        return answer('invalid')
    end

    -- the scope

    local owned = ':' .. escape(scope)
    local right = 'manage'

    if membership then
        local name = owned .. ':' .. subject
        right = rights[name]
        if right == nil then
            right = call('EXISTS', own .. ':scope' .. owned) == 1
                    and call('HGET', own .. ':members' .. owned, subject)
            rights[name] = right
        end
        if not right then
            return answer('scope_not_found')
        end
    end

    -- the first answer was lost: it was allowed then
    local again = how == 'again'
                  and call('EXISTS', operations .. operation) == 1
    this.again = again

    if counted then
        local key = own .. ':rate' .. owned
        local count = tonumber(call(again and 'GET' or 'INCR', key)) or 1
        local limit = tonumber(call('HGET', own .. ':scope' .. owned,
                                    'rate_limit')) or tonumber(ARGV[5])
        this.limit, this.remaining = limit, math.max(limit - count, 0)
        this.reset = (math.floor(clock[1] / 60) + 1) * 60
        this.counted = not again and key
        if count == 1 and not again then
            call('EXPIREAT', key, this.reset)
        end
        if count > limit and not again then
            return answer('rate_limited')
        end
    end

    if right ~= 'manage' then
        return answer('forbidden')
    end

    -- the credential

    local names = owned .. ':' .. escape(id)
    local credential = own .. ':credential' .. names
    local open = P .. ':open:' .. api .. names

    if again then
        return resume(operation, names, 'deleted')
    end
    if how == 'absent' then
        return answer('not_found')
    end

    local found = call('HMGET', credential, 'owner', 'revision')

    if not found[1] and not found[2] and call('EXISTS', credential) == 0 then
        local op = call('GET', open)
        return op and resume(op, names, 'resumed') or answer('not_found')
    end
    if not allowed(found[1]) then
        return answer('forbidden')
    end
    if uses and call('SCARD', own .. ':uses' .. names) > 0 then
        return answer('in_use')
    end

    local concerned = scopes[owned] or concern(owned)
    if concerned == 'full' or concerned.err then
        return concerned
    end

    -- all checks passed.  What leads on to the environments comes first, for a
    -- Redis that was killed while it wrote this and runs only its beginning

    local key, count = operations .. operation, concerned.count
    local revision = found[2] and string.match(found[2], '^0*(%d+)$') or '0'
    local member = api .. names .. ':' .. revision .. ':' .. operation

    call('HSET', key, 'api', api, 'scope', scope, 'id', id,
         'revision', revision, 'owner', found[1] or '', 'subject', subject,
         'client', client, 'created_at', stamp, 'environments', count,
         'pending', count, unpack(concerned.fields))

    if concerned.names then
        call('SADD', pendings, unpack(concerned.names))
        concerned.names = nil
    end
    for _, pending in ipairs(concerned.keys) do
        call('ZADD', pending, due, member)
    end

    local indexed = try('SREM', own .. ':credentials' .. owned, id)
    if type(indexed) == 'table' then
        for _, pending in ipairs(concerned.keys) do
            call('ZREM', pending, member)
        end
        call('DEL', key)
        return indexed
    end

    call('DEL', credential, own .. ':grants' .. names)

    if count == '0' then
        call('HSET', key, 'completed_at', stamp)
        call('EXPIRE', key, '604800')
    else
        -- one that is still open comes back when this one is complete
        local previous = try('GETSET', open, operation)
        if type(previous) == 'string' then
            call('HSET', key, 'previous', previous)
        elseif previous then
            call('SET', open, operation)
        end
    end

    return answer('deleted', operation, member, concerned.cascade)
end

for i = 9, #ARGV, 7 do
    local ok, result = true, 'late'
    if now <= deadline
       or (ARGV[i + 6] == 'again' and try('EXISTS', operations .. ARGV[i]) == 1)
    then
        ok, result = pcall(delete, i)
    end
    if result == 'full' and this.counted then
        try('DECR', this.counted)
    end
    if not ok then
        result = type(result) == 'table' and result or {err = result}
    end
    reply[#reply + 1] = result
end

refuse()

return reply
