-- Deletes credentials in the registry, each for itself: all is checked before
-- anything is written, since a script has no rollback.  It runs in one step, so
-- credential, grants, index entry, operation and pending entries change
-- together or not at all.  A dry run goes through the same checks and says what
-- would come of it; it writes nothing.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, lease (ms), API and its rules: membership (0|1), deletes per
--          minute (0: any number), role or "", uses (0|1), the deadline (ms, by
--          this Redis' clock), and how many entries P:audit keeps; then for
--          each delete operation or, for a dry run, "", SHA-256 of the token,
--          required subject or "", scope or "" (the token's own), id, client
--          address, traceparent or "", the highest revision that is meant (0
--          or "": any), and how far to go: all, absent (no credential has this
--          id), nowhere (nor this scope), token, or again (all, and it may be
--          done already)
-- returns  time (ms); then for each delete seven elements: result (or "late",
--          or "full": no room in this reply, nothing was done), subject, scope,
--          member, where in this array its cascade begins, of how many
--          environments it is, and, if it was counted, limit, remaining and
--          reset (s), with spaces between; then the cascades: name, URL, state
--          and, for a connector, what is known of each environment, of which
--          the "claimed" ones are for the caller to undeploy now, and the
--          "waiting" ones, which were undeployed by an attempt whose gateways
--          have not confirmed; of a dry run they are those that it would claim,
--          and it is a member of nothing unless it would resume.  What is known
--          is when (ms) an attempt may have acted without a word of it, or 0,
--          traceparent or -, and the target or nothing, with spaces between
--
-- A call of one delete is to be cheap: the reply is flat, what functions share
-- is in one table, and what is rare is not set up before it is needed.

local FIRST, STRIDE, ANSWER = 10, 9, 7
local DELETES = (#ARGV - FIRST + 1) / STRIDE

local clock = redis.call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)

-- Numbers go to Redis as strings, which it would format as floats.  What was
-- read for one delete holds for the others, too.  The caller bounds what it
-- reads: room is in elements and in bytes

local this = {
    P = ARGV[1], api = ARGV[3], role = ARGV[6],
    own = ARGV[1] .. ':' .. ARGV[3],
    now = now, stamp = stamp,
    due = string.format('%.0f', now + ARGV[2]),
    known = {}, room = 7000, bytes = 786432, refused = false,
    last = 1 + DELETES * ANSWER
}

-- with room for two environments, since tables grow slowly
local reply = {now, nil, nil, nil, nil, nil, nil, nil,
               nil, nil, nil, nil, nil, nil, nil, nil}

local function escape(s)
    if string.find(s, ':', 1, true) or string.find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

-- the trace that it is a part of, if it is of any, before other fields

local function traced(ask, ...)
    if ask.trace ~= '' then
        return 'traceparent', ask.trace, ...
    end
    return ...
end

local function audit(ask, result, operation, ...)
    if ask.dry then
        return
    end

    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[9], '*', 'api', ARGV[3],
               'scope', ask.scope, 'id', ask.id, 'subject', ask.subject,
               'client', ask.client, 'result', result, 'operation', operation,
               traced(ask, ...))
end

local function answer(ask, result, member, start, count)
    local n = ask.answer
    reply[n], reply[n + 1], reply[n + 2] = result, ask.subject or '', ask.scope
    reply[n + 3], reply[n + 4] = member or '', start or 0
    reply[n + 5], reply[n + 6] = count or 0, ask.rate or ''
end

local function refuse(ask, result)
    audit(ask, result, '')
    answer(ask, result)
end

-- an answer of one word, or of an error

local function fail(n, result)
    reply[n], reply[n + 1], reply[n + 2], reply[n + 3] = result, '', '', ''
    reply[n + 4], reply[n + 5], reply[n + 6] = 0, 0, ''
end

-- Refused tokens, of which those of a client for one credential are audited
-- together, when another one follows or nothing (i is nil): in a stream of
-- their own, since callers without a token must not be able to push the entries
-- of the others out.  It keeps a tenth, which is a digit less

local function unauthorized(i, n)
    local last = this.refused

    if last and not (i and last.scope == ARGV[i + 3] and last.id == ARGV[i + 4]
                     and last.client == ARGV[i + 5])
    then
        local count = #last > 1 and {'count', #last} or {}
        local done = redis.pcall('XADD', KEYS[1] .. ':unauthorized', 'MAXLEN',
                                 '~', string.sub(ARGV[9], 1, -2), '*',
                                 'api', ARGV[3],
                                 'scope', last.scope, 'id', last.id,
                                 'subject', '', 'client', last.client,
                                 'result', 'unauthorized', 'operation', '',
                                 unpack(count))

        for _, place in ipairs(type(done) == 'table' and last or {}) do
            reply[place] = done
        end
        last = nil
    end

    if i then
        last = last or {scope = ARGV[i + 3], id = ARGV[i + 4],
                        client = ARGV[i + 5]}
        last[#last + 1] = n
        this.refused = last
        fail(n, 'unauthorized')
    end
end

local function find_token(hash)
    local token = this.known[hash]

    if token == nil then
        local key = this.own .. ':token:' .. hash
        token = redis.call('EXISTS', key) == 1
                and redis.call('HMGET', key, 'subject', 'scope', 'roles',
                               'expires_at', 'enabled')
        -- a NaN has expired, too
        if token and (not token[1] or token[1] == '' or token[5] == '0'
                      or (token[4] and not ((tonumber(token[4]) or 0) * 1000
                                            > this.now)))
        then
            token = false
        end
        this.known[hash] = token
    end

    return token
end

-- checks: each returns the result that it ends with, or nil

local function check_scope(ask)
    local owned = ':' .. escape(ask.scope)
    ask.owned, ask.right = owned, 'manage'

    if ask.how == 'nowhere' then
        return 'scope_not_found'
    end

    if ARGV[4] == '1' then
        local name = owned .. ':' .. ask.subject
        local right = this.known[name]
        if right == nil then
            right = redis.call('EXISTS', this.own .. ':scope' .. owned) == 1
                    and redis.call('HGET', this.own .. ':members' .. owned,
                                   ask.subject)
            this.known[name] = right
        end
        if not right then
            return 'scope_not_found'
        end
        ask.right = right
    end
end

-- What is asked again was counted the first time.  A count that does not expire
-- is no count of this minute: somebody has restored it, or Redis was killed
-- before it could say when.  A dry run is told what it would have counted

local function check_rate(ask)
    local key = this.own .. ':rate' .. ask.owned
    local limit = redis.call('HGET', this.own .. ':scope' .. ask.owned,
                             'rate_limit')
    local reset = (math.floor(clock[1] / 60) + 1) * 60
    local count

    if ask.dry then
        count = redis.call('TTL', key) < 0 and 1
                or (tonumber(redis.call('GET', key)) or 0) + 1
    elseif ask.again then
        count = tonumber(redis.call('GET', key)) or 1
    else
        count = redis.call('INCR', key)
        if redis.call('TTL', key) < 0 then
            count = 1
            redis.call('SET', key, '1', 'EX', '60')
            redis.call('EXPIREAT', key, string.format('%d', reset))
        end
        ask.counted = key
    end

    limit = limit and #limit < 10 and string.find(limit, '^%d+$')
            and tonumber(limit) or tonumber(ARGV[5])

    ask.rate = string.format('%d %d %d', limit, math.max(limit - count, 0),
                             reset)

    return count > limit and not ask.again and 'rate_limited' or nil
end

local function allowed(ask, owner)
    return this.role == '' or owner == ask.subject
           or string.find(' ' .. ask.roles .. ' ', ' ' .. this.role .. ' ',
                          1, true)
end

-- Makes a cascade a part of the reply, if there is room.  After the first one
-- that there is no room for there is none for any other.  Returns where it is

local function place(cascade)
    local last, bytes = this.last, this.bytes
    local first = last == 1 + DELETES * ANSWER

    for i = 1, #cascade do
        bytes = bytes - #cascade[i]
    end

    this.bytes, this.room = bytes, this.room - #cascade
    if not first and (this.room < 0 or bytes < 0) then
        return
    end

    for i = 1, #cascade do
        reply[last + i] = cascade[i]
    end
    this.last = last + #cascade
    return last
end

-- an environment that is no Redis

local function is_connector(url)
    return string.byte(url) == 99 and string.sub(url, 1, 10) == 'connector:'
end

-- What connectors need is set up when there is one

local function connectors()
    local is = this.connectors
    if is then
        return is
    end
    is = {}
    this.connectors = is

    -- a part of one would be another one
    local function is_target(target)
        return target and target ~= '' and #target <= 512
    end

    local function time_of(ms)
        return type(ms) == 'number' and ms >= 1 and ms < 1e15
               and string.format('%.0f ', math.floor(ms)) or '0 '
    end

    -- what is known for an attempt
    function is.known(receipt, trace, target)
        trace = trace and #trace == 55 and string.find(trace, '^[%da-f%-]+$')
                and trace

        return time_of(receipt.unclear) .. time_of(receipt.heard)
               .. (trace or '-') .. ' '
               .. (is_target(target) and target or '')
    end

    -- an attempt without a word of it may have acted: the next one may leave
    -- none, either
    function is.note(operation, receipt)
        local good, text = pcall(cjson.encode, receipt.is)
        if good and receipt.is.state then
            redis.pcall('HSET', this.P .. ':operation:' .. operation,
                        'environment:' .. receipt.name, text)
        end
    end

    -- A cascade and fields of its own, for what connectors call a credential:
    -- that is gone with it
    function is.address(ask, concerned)
        local targets = concerned.targets
        local found = redis.call('HMGET', ask.credential, unpack(targets))
        local cascade, fields = {unpack(concerned.cascade)},
                                {unpack(concerned.fields)}
        local size = concerned.size

        for i = 1, #targets do
            local n = targets.places[i]

            if is_target(found[i]) then
                fields[#fields + 1], fields[#fields + 2] = targets[i], found[i]
            end
            if is_connector(cascade[n + 2]) then
                cascade[n + 4] = is.known({}, ask.trace, found[i])
                size = size + #cascade[n + 4]
            end
        end

        if size > 524288 then
            error({err = 'ERR too many environments'})
        end

        ask.fields = fields
        return place(cascade)
    end

    return is
end

-- an operation that was deleted before: its fields and its receipts

local function read_operation(operation)
    local hash = redis.call('HGETALL', this.P .. ':operation:' .. operation)
    local fields, receipts = {}, {}

    for i = 1, #hash, 2 do
        local name = string.match(hash[i], '^environment:(.*)$')
        if name then
            local ok, is = pcall(cjson.decode, hash[i + 1])
            receipts[#receipts + 1] = {name = name,
                is = ok and type(is) == 'table' and is or {}}
        else
            fields[hash[i]] = hash[i + 1]
        end
    end

    return fields, receipts
end

-- pending entries that wait for their next attempt are the caller's, those of
-- others stay theirs

local function state_of(receipt, member, mine)
    if receipt.is.state and receipt.is.state ~= 'pending' then
        return receipt.is.state
    end

    receipt.key = this.P .. ':pending:' .. escape(receipt.name)
    receipt.url = redis.call('HGET', this.P .. ':environments', receipt.name)

    -- it may be registered again: that is waited for
    if not receipt.url then
        return 'pending'
    end

    local score = tonumber(redis.call('ZSCORE', receipt.key, member))
    local leased = score and score ~= receipt.is.next

    if leased and score > this.now and not mine then
        return 'pending'
    end

    -- whoever had the lease never came back
    receipt.lost = leased and score <= this.now and is_connector(receipt.url)
                   and (score >= 1 and score or this.now)

    -- it is gone there, and its gateways were waited for
    return receipt.is.waiting == 'undeployed' and 'waiting' or 'claimed'
end

local function resume(ask, operation, result)
    if this.room < 0 or this.bytes < 0 then
        return 'full'
    end

    local fields, receipts = read_operation(operation)
    local cascade, size = {}, 0

    if not fields.api then
        -- somebody has deleted it
        if not ask.dry then
            redis.call('DEL', ask.open)
        end
        return refuse(ask, 'not_found')
    end
    if not allowed(ask, fields.owner) then
        return refuse(ask, 'forbidden')
    end

    local member = ARGV[3] .. ask.names .. ':' .. (fields.revision or '0')
                   .. ':' .. operation

    for _, receipt in ipairs(receipts) do
        local state = state_of(receipt, member, operation == ask.operation)
        local n, url = #cascade, receipt.url or ''
        local word = ''

        receipt.is.unclear = receipt.lost or receipt.is.unclear
        if is_connector(url) then
            word = connectors().known(receipt.is, fields.traceparent,
                                      fields['target:' .. receipt.name])
        end

        -- the URLs may have grown since
        size = size + #receipt.name + #url + #word
        if #url > 4096 or size > 524288 then
            url, word = '', ''
        end
        cascade[n + 1], cascade[n + 2] = receipt.name, url
        cascade[n + 3], cascade[n + 4] = state, word
        receipt.state = state
    end

    local start = place(cascade)
    if not start then
        return 'full'
    end

    for _, receipt in ipairs(receipts) do
        if not ask.dry
           and (receipt.state == 'claimed' or receipt.state == 'waiting')
        then
            redis.call('ZADD', receipt.key, this.due, member)
            redis.call('SADD', this.P .. ':pending', receipt.name)
            if receipt.lost then
                connectors().note(operation, receipt)
            end
        end
    end

    -- what is asked twice was audited the first time
    if result ~= 'deleted' then
        audit(ask, result, operation)
    end
    answer(ask, result, member, start, #receipts)
end


-- what is noted of an environment before anybody has attempted anything

local function receipt_of(state)
    if state == 'claimed' then
        return '{"state":"pending","attempts":0}'
    end
    -- nobody has claimed it, so that nobody may have acted and be lost
    return '{"state":"pending","attempts":0,"next":' .. this.due .. '}'
end

-- the environments that concern a scope

local function concern(owned)
    local all = redis.call('HGETALL', this.P .. ':environments')
    local only = redis.call('SMEMBERS', this.own .. ':environments' .. owned)
    local wanted = #only > 0 and {}
    -- with room for two, since tables grow slowly
    local names, keys = {nil, nil}, {nil, nil}
    local fields, cascade = {nil, nil, nil, nil},
                            {nil, nil, nil, nil, nil, nil, nil, nil}
    local count, size, targets = 0, 0, false

    for _, name in ipairs(only) do
        wanted[name] = true
        -- one that is not registered, or not yet again, is pending
        if redis.call('HEXISTS', this.P .. ':environments', name) == 0 then
            all[#all + 1], all[#all + 2] = name, false
        end
    end

    for i = 1, #all, 2 do
        local name, url = all[i], all[i + 1]
        if not wanted or wanted[name] then
            local state = url and 'claimed' or 'pending'
            -- one that is too long must not fill the reply; it is none
            url = url and #url <= 4096 and url or ''
            local n, f = 4 * count, 2 * count
            count, size = count + 1, size + #name + #url
            names[count] = name
            keys[count] = this.P .. ':pending:' .. escape(name)
            fields[f + 1] = 'environment:' .. name
            fields[f + 2] = receipt_of(state)
            cascade[n + 1], cascade[n + 2] = name, url
            cascade[n + 3], cascade[n + 4] = state, ''

            -- what is not registered yet may be a connector later
            if state == 'pending' or is_connector(url) then
                targets = targets or {places = {}}
                targets[#targets + 1] = 'target:' .. name
                targets.places[#targets] = n
            end
        end
    end

    if count > 1024 or size > 524288 then
        error({err = 'ERR too many environments'})
    end

    local start = not targets and place(cascade)
    if not start and not targets then
        return 'full'
    end

    local is = {names = count > 0 and names, keys = keys, fields = fields,
                start = start, count = count, cascade = cascade, size = size,
                targets = targets}
    this.known[owned] = is
    return is
end

-- What may fail, because somebody has put a key of another type there, comes
-- before the credential is deleted.  What leads on to the environments comes
-- first, for a Redis that was killed while it wrote this and runs only its
-- beginning

local function record(ask, concerned, member)
    local count = string.format('%d', concerned.count)
    local key = this.P .. ':operation:' .. ask.operation

    redis.call('HSET', key, 'scope', ask.scope, 'id', ask.id,
               'revision', ask.revision, 'owner', ask.owner or '',
               'subject', ask.subject, 'client', ask.client,
               'created_at', this.stamp, 'environments', count,
               'pending', count,
               traced(ask, unpack(ask.fields or concerned.fields)))

    if concerned.names then
        redis.call('SADD', this.P .. ':pending', unpack(concerned.names))
        concerned.names = false
    end
    for i = 1, #concerned.keys do
        redis.call('ZADD', concerned.keys[i], this.due, member)
    end

    redis.call('ZADD', this.P .. ':operations', this.stamp, ask.operation)
    ask.listed = redis.call('SREM', this.own .. ':credentials' .. ask.owned,
                            ask.id)

    -- a revision that is no positive integer counts as none
    if ask.unusable then
        redis.call('HSET', key, 'unusable_revision', ask.unusable)
        audit(ask, 'deleted', ask.operation, 'revision', ask.unusable)
    else
        audit(ask, 'deleted', ask.operation)
    end
end

-- those of the keys that gateways know it by, unless they lead to another one

local function delete_entries(ask)
    for hash in string.gmatch(ask.keys, '%S+') do
        local entry = this.own .. ':key:' .. hash
        if redis.pcall('GET', entry) == string.sub(ask.names, 2) then
            redis.call('DEL', entry)
        end
    end
end

local function delete(ask)
    local concerned = this.known[ask.owned] or concern(ask.owned)
    if concerned == 'full' then
        return 'full'
    end

    local start = concerned.start or connectors().address(ask, concerned)
    if not start then
        return 'full'
    end
    if ask.dry then
        return answer(ask, 'deleted', '', start, concerned.count)
    end

    local member = ARGV[3] .. ask.names .. ':' .. ask.revision .. ':'
                   .. ask.operation
    local key = this.P .. ':operation:' .. ask.operation

    -- it was asked twice, and this is the one that was late
    if redis.call('HSETNX', key, 'api', ARGV[3]) == 0 then
        return resume(ask, ask.operation, 'deleted')
    end

    local ok, failure = pcall(record, ask, concerned, member)

    if not ok then
        for _, pending in ipairs(concerned.keys) do
            redis.pcall('ZREM', pending, member)
        end
        redis.pcall('ZREM', this.P .. ':operations', ask.operation)
        redis.call('DEL', key)
        if ask.listed == 1 then
            redis.call('SADD', this.own .. ':credentials' .. ask.owned, ask.id)
        end
        error(failure, 0)
    end

    if ask.keys then
        delete_entries(ask)
    end
    redis.call('DEL', ask.credential, this.own .. ':grants' .. ask.names)

    if concerned.count == 0 then
        redis.call('HSET', key, 'completed_at', this.stamp)
        redis.call('EXPIRE', key, '604800')
    else
        -- one that is still open comes back when this one is complete
        local previous = redis.pcall('GETSET', ask.open, ask.operation)
        if type(previous) == 'string' then
            redis.call('HSET', key, 'previous', previous)
        elseif previous then
            redis.call('SET', ask.open, ask.operation)
        end
    end

    answer(ask, 'deleted', member, start, concerned.count)
end

-- it is kept for callers with a revision, who are to hear of a newer deployment

local function is_over(operation)
    return redis.call('HEXISTS', this.P .. ':operation:' .. operation,
                      'completed_at') == 1
end

-- reads owner and revision; without a credential, what was deleted before is
-- resumed

local function check_credential(ask)
    local found = redis.call('HMGET', ask.credential, 'owner', 'revision',
                             'keys')
    local owner, revision = found[1], found[2]

    if not owner and not revision
       and redis.call('EXISTS', ask.credential) == 0
    then
        local operation = redis.call('GET', ask.open)
        if operation and (ask.most ~= '' or not is_over(operation)) then
            return resume(ask, operation, 'resumed') or 'resumed'
        end
        return refuse(ask, 'not_found') or 'not_found'
    end

    ask.owner, ask.keys = owner, found[3]
    ask.revision = revision and string.match(revision, '^0*(%d+)$')
    ask.unusable = revision and not ask.revision
                   and string.sub(revision, 1, 512)
    ask.revision = ask.revision or '0'
end

-- A delete of an older one that is late.  Revisions may be larger than what a
-- Lua number holds; one that is unusable is as good as none

local function superseded(ask)
    local most = string.match(ask.most, '^0*(%d+)$') or '0'
    local is = ask.revision

    return most ~= '0'
           and (#is > #most or (#is == #most and is > most))
end

local function decide(ask)
    local refusal = ask.how == 'token' and 'invalid' or check_scope(ask)
    if refusal then
        return refuse(ask, refusal)
    end

    -- the first answer was lost: it was allowed then
    ask.again = ask.how == 'again'
                and redis.call('EXISTS', this.P .. ':operation:'
                                         .. ask.operation) == 1

    refusal = ARGV[5] ~= '0' and check_rate(ask)
              or ask.right ~= 'manage' and 'forbidden'
              or ask.how == 'absent' and 'not_found'
    if refusal then
        return refuse(ask, refusal)
    end

    ask.names = ask.owned .. ':' .. escape(ask.id)
    ask.credential = this.own .. ':credential' .. ask.names
    ask.open = this.P .. ':open:' .. ARGV[3] .. ask.names

    if ask.again then
        return resume(ask, ask.operation, 'deleted')
    end

    local done = check_credential(ask)
    if done then
        return done == 'full' and done
    end

    if not allowed(ask, ask.owner) then
        return refuse(ask, 'forbidden')
    end
    if ask.most ~= '' and superseded(ask) then
        return refuse(ask, 'superseded')
    end
    if ARGV[7] == '1'
       and redis.call('SCARD', this.own .. ':uses' .. ask.names) > 0
    then
        return refuse(ask, 'in_use')
    end

    return delete(ask)
end

-- What comes late is asked for in vain, unless it was done before.  While a
-- slot moves its operation may be elsewhere, which is an error, and not "late"

local function was_done(operation)
    return redis.call('EXISTS', this.P .. ':operation:' .. operation) == 1
end

local function is_late(i)
    return now > tonumber(ARGV[8])
           and not (ARGV[i + 8] == 'again' and was_done(ARGV[i]))
end

-- Returns the word or the error that it failed with.  A refused token is to be
-- cheap: what is asked becomes a table only after that

local function serve(i, n)
    if is_late(i) then
        return 'late'
    end

    local token, required = find_token(ARGV[i + 1]), ARGV[i + 2]

    if not token or (required ~= '' and required ~= token[1]) then
        if ARGV[i] == '' then
            return fail(n, 'unauthorized')
        end
        return unauthorized(i, n)
    end

    local scope = ARGV[i + 3]
    local ask = {
        answer = n, operation = ARGV[i], dry = ARGV[i] == '',
        id = ARGV[i + 4],
        scope = scope ~= '' and scope or token[2] or '',
        client = ARGV[i + 5], trace = ARGV[i + 6], most = ARGV[i + 7],
        how = ARGV[i + 8], subject = token[1], roles = token[3] or '',
        -- with room for what the checks find, since tables grow slowly
        owned = nil, right = nil, names = nil, credential = nil, open = nil,
        owner = nil, revision = nil, unusable = nil, keys = nil
    }
    local failure = decide(ask)

    if failure == 'full' and ask.counted then
        redis.pcall('DECR', ask.counted)
    end
    return failure
end

for i = FIRST, #ARGV, STRIDE do
    local n = 2 + (i - FIRST) / STRIDE * ANSWER
    local ok, failure = pcall(serve, i, n)

    if not ok then
        failure = type(failure) == 'table' and failure or {err = failure}
    end
    if failure then
        fail(n, failure)
    end
end

if this.refused then
    unauthorized()
end

return reply
