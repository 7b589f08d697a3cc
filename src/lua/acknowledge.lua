-- Writes receipts: settled undeployments leave the pending entries, the others
-- are due again later.  What an environment has lost since is not settled.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, shortest and longest delay (ms); then for each undeployment
--          environment, member, state, error, duration (ms) and progress: what
--          undeploy.lua returned of the stream, with the connection's epoch in
--          front, or "" if it returned nothing
-- returns  nil or the last error; or, if the epoch of any is over, an array
--          with "stale" for each of these and "" for the others

local P, shortest, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local FIRST, STRIDE = 4, 6

local call, try = redis.call, redis.pcall
local find, format, sub = string.find, string.format, string.sub
local match = string.match
local clock = call('TIME')
local stamp = clock[1] .. sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)
local kept_until = format('%d', clock[1] + 604800)

-- as delete.lua writes it, and what mostly becomes of it
local fresh = '{"state":"pending","attempts":0}'
local once = '","attempts":1,"last":' .. stamp .. ',"ms":'

-- what is written of one operation, or of one environment, is written together
local environments, names, operations, members = {}, {}, {}, {}
local opens, closed, previous = {}, {}, {}

local failure

local function escape(s)
    if find(s, ':', 1, true) or find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

local function unescape(s)
    return (string.gsub(s, '%%(%x%x)', function (hex)
        return string.char(tonumber(hex, 16))
    end))
end

-- milliseconds as a string, since Redis would format a number as a float
local function time(ms)
    return format('%d%03d', ms / 1000, ms % 1000)
end

local function collect(i)
    local name, member = ARGV[i], ARGV[i + 1]
    local attempt = {state = ARGV[i + 2], failure = ARGV[i + 3],
                     ms = ARGV[i + 4], progress = ARGV[i + 5], n = i}
    local environment, operation = environments[name], operations[member]

    if not environment then
        environment = {name = name, pending = P .. ':pending:' .. escape(name),
                       field = 'environment:' .. name, attempts = {}}
        environments[name], names[#names + 1] = environment, name
    end

    if not operation then
        operation = {member = member, attempts = {}}
        operations[member], members[#members + 1] = operation, member
    end

    attempt.environment, attempt.member = environment, member
    environment.attempts[#environment.attempts + 1] = attempt
    operation.attempts[#operation.attempts + 1] = attempt
end

-- how far the environments have come

local function later(id, other)
    local ms, n = match(id, '^(%d+)%-(%d+)$')
    local other_ms, other_n = match(other, '^(%d+)%-(%d+)$')

    return ms and (tonumber(ms) > tonumber(other_ms)
                   or (ms == other_ms and tonumber(n) > tonumber(other_n)))
end

-- An entry that is later than the last known one follows it in the stream,
-- unless the environment has lost that one meanwhile.  False if this is of
-- another epoch.

local function advance(environment, progress)
    local epoch, before, after, id =
        match(progress, '^(%d+):(%d+):(%d+):(.*)$')

    if epoch ~= environment.epoch then
        return false
    end

    if not later(id, environment.id) then
        return true
    end

    if tonumber(before) < tonumber(environment.length) then
        environment.epoch = format('%d', epoch + 1)
        call('HSET', P .. ':again', environment.name, '+inf 0')
    else
        environment.length, environment.id = after, id
    end

    environment.moved = true
    return environment.epoch == epoch
end

local function follow(environment, position)
    local last, fits = '', true

    environment.epoch, environment.length, environment.id, environment.run_id =
        match(position or '', '^(%d+):(%d+):(%d+%-%d+):(%x*)$')

    if not environment.epoch then
        return
    end

    for _, attempt in ipairs(environment.attempts) do
        if attempt.progress ~= '' then
            if attempt.progress ~= last then
                last = attempt.progress
                fits = advance(environment, last)
            end
            attempt.stale = not fits
        end
    end
end

local function follow_all()
    local known = try('HMGET', P .. ':positions', unpack(names))
    local moved = {}

    for n, name in ipairs(names) do
        local environment = environments[name]
        follow(environment, known[n])
        if environment.moved then
            moved[#moved + 1] = name
            moved[#moved + 1] = environment.epoch .. ':' .. environment.length
                                .. ':' .. environment.id
                                .. ':' .. environment.run_id
        end
    end

    if #moved > 0 then
        call('HSET', P .. ':positions', unpack(moved))
    end
end

-- what is settled is pending no more

local function release(environment)
    local gone = {}

    for _, attempt in ipairs(environment.attempts) do
        if attempt.stale then
            call('ZADD', environment.pending, 'XX', stamp, attempt.member)
        elseif attempt.state ~= 'pending' then
            gone[#gone + 1] = attempt.member
        end
    end

    local is = #gone > 0 and try('ZREM', environment.pending, unpack(gone))
    failure = type(is) == 'table' and is or failure
end

-- the new receipt, unless somebody else has settled it, and when the next
-- attempt is due

local function delay(attempts, n)
    -- three quarters of the delay and a random part of the rest
    local most = math.min(shortest * 2 ^ math.min(attempts - 1, 30), longest)
    local random = (clock[2] + n * 7919) % 1000

    return math.floor(most * (750 + random / 2) / 1000)
end

local function write(attempt, kept)
    local state, ms = attempt.state, attempt.ms

    if kept == fresh and attempt.failure == ''
       and (state == 'undeployed' or state == 'not_deployed')
    then
        return '{"state":"' .. state .. once .. ms .. '}'
    end

    local ok, receipt = pcall(cjson.decode, kept or '')

    if not ok or type(receipt) ~= 'table' then
        receipt = {}
    end

    if receipt.state and receipt.state ~= 'pending' then
        return
    end

    receipt.state = state
    receipt.attempts = (tonumber(receipt.attempts) or 0)
                       + (state == 'unregistered' and 0 or 1)
    receipt.first = receipt.first or now - ms
    receipt.last = now
    receipt.ms = tonumber(ms)
    receipt.error = attempt.failure ~= '' and attempt.failure or receipt.error
    receipt.next = state == 'pending'
                   and now + delay(receipt.attempts, attempt.n) or nil

    return cjson.encode(receipt), receipt.next
end

-- what an operator has to hear of

local function audit(attempt, operation)
    local api, scope, id = match(attempt.member, '^([^:]*):([^:]*):([^:]*):')

    call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
         'scope', unescape(scope), 'id', unescape(id), 'subject', '',
         'client', '', 'result', attempt.state, 'operation', operation,
         'environment', attempt.environment.name)
end

-- the place of the colon after this one
local function colon(s, place)
    return place and find(s, ':', place + 1, true)
end

-- API:scope:id:revision:operation, if nobody has put anything else there

local function parse(operation)
    local member = operation.member
    local names_end = colon(member, colon(member, colon(member, 0)))
    local last = colon(member, names_end)

    operation.id = last and #member == last + 32 and sub(member, last + 1) or ''
    operation.key = P .. ':operation:' .. operation.id
    operation.open = names_end
                     and P .. ':open:' .. sub(member, 1, names_end - 1)
end

local function close(operation, before)
    local n = #opens + 1
    opens[n], closed[n], previous[n] = operation.open, operation.id, before
end

-- the receipts of one operation, and how many of them are settled by this

local function receipts(operation, kept)
    local set, n, done = {}, 0, 0

    for j, attempt in ipairs(operation.attempts) do
        local field = attempt.environment.field
        -- several may have made the same attempt
        local was = kept[field] or kept[j + 2]
        local receipt, due = write(attempt, was)
        kept[field] = receipt or was

        if due then
            call('ZADD', attempt.environment.pending, 'XX', time(due),
                 attempt.member)
        end

        if receipt and kept[j + 2] then
            set[n + 1], set[n + 2] = field, receipt
            n, done = n + 2, done + (due and 0 or 1)

            if attempt.state == 'unregistered' or attempt.state == 'superseded'
            then
                audit(attempt, operation.id)
            end
        end
    end

    return set, done
end

local function acknowledge(operation)
    local fields = {}

    parse(operation)

    for j, attempt in ipairs(operation.attempts) do
        fields[j] = attempt.environment.field
    end

    -- the operation may be gone with the hands of an operator

    local kept = try('HMGET', operation.key, 'pending', 'previous',
                     unpack(fields))
    if kept.err then
        return
    end

    local set, done = receipts(operation, kept)
    local left, n = (tonumber(kept[1]) or 0) - done, #set

    if not kept[1] and operation.open then
        close(operation, kept[2])
    end

    if n == 0 then
        return
    end

    if done > 0 then
        set[n + 1] = 'pending'
        set[n + 2] = left > 0 and format('%d', left) or '0'
    end

    if done > 0 and left <= 0 then
        set[n + 3], set[n + 4] = 'completed_at', stamp
    end

    call('HSET', operation.key, unpack(set))

    if done > 0 and left <= 0 then
        call('EXPIREAT', operation.key, kept_until)
        close(operation, kept[2])
    end
end

-- the operation of an earlier copy of the credential that is still open: it was
-- deleted, created again and deleted again meanwhile

local function incomplete(operation)
    for _ = 1, 100 do
        if not operation then
            break
        end
        local is = try('HMGET', P .. ':operation:' .. operation, 'api',
                        'completed_at', 'previous')
        if is[1] and not is[2] then
            return operation
        end
        operation = is[3]
    end
end

local function close_all()
    local current, gone = call('MGET', unpack(opens)), {}

    for n, key in ipairs(opens) do
        if current[n] == closed[n] then
            local operation = incomplete(previous[n])
            if operation then
                call('SET', key, operation)
            else
                gone[#gone + 1] = key
            end
        end
    end

    if #gone > 0 then
        call('DEL', unpack(gone))
    end
end

local function stale()
    local reply, any = {}, false

    for n = 1, (#ARGV - FIRST + 1) / STRIDE do
        reply[n] = ''
    end

    for _, name in ipairs(names) do
        for _, attempt in ipairs(environments[name].attempts) do
            if attempt.stale then
                reply[(attempt.n - FIRST) / STRIDE + 1], any = 'stale', true
            end
        end
    end

    return any and reply
end

-- without what is stale

local function fitting(operation)
    local attempts = {}

    for _, attempt in ipairs(operation.attempts) do
        if not attempt.stale then
            attempts[#attempts + 1] = attempt
        end
    end

    operation.attempts = attempts
    return #attempts > 0
end

for i = FIRST, #ARGV, STRIDE do
    collect(i)
end

follow_all()

for _, name in ipairs(names) do
    release(environments[name])
end

for _, member in ipairs(members) do
    local operation = operations[member]
    if fitting(operation) then
        local ok, is = pcall(acknowledge, operation)
        if not ok then
            failure = type(is) == 'table' and is or {err = is}
        end
    end
end

if #opens > 0 then
    close_all()
end

return stale() or failure
