-- Writes receipts: settled undeployments leave the pending entries, the others
-- are due again later.  What an environment has lost since is not settled.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, shortest and longest delay (ms), and how many entries
--          P:audit keeps; then for each undeployment environment, member,
--          state, error, duration (ms), progress: the connection's epoch and
--          the last id that undeploy.lua returned, with a colon between, or ""
--          if it returned nothing; and of its gateways "" if there are none,
--          "COUNT MS" when it was effective, or, pending because it is waited
--          for, "COUNT MS STATE": after how long it is due again, and what it
--          will be; and of one that is pending words with spaces between:
--          "due=MS" if not by these delays, "unclear" if it may have acted
--          without a word of it, "heard" if it has acted and said so,
--          "unattempted" if it is not to be counted
-- returns  nil or the last error; or, if the epoch of any is over, an array
--          with "stale" for each of these and "" for the others

-- an undeployment is known by the place of its environment in ARGV; its other
-- arguments are that many places further
local FIRST, STRIDE = 5, 8
local MEMBER, STATE, FAILURE, MS, PROGRESS, GATEWAYS, HOW = 1, 2, 3, 4, 5, 6, 7

-- what is pending is due again within that (ms): it must not be forgotten
local LATEST = 604800000

local P, clock = ARGV[1], redis.call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)

-- while its slot moves, what is not here may be where it moves to: nothing is
-- done then, since such a key cannot be asked for
redis.call('EXISTS', P .. ':none')

-- how many fields of an operation are asked for before its receipts
local OWN = 3

local failure, stale

-- its pending entries, and since when those are that an attempt did not settle

local function keys_of(environment)
    if string.find(environment, ':', 1, true)
       or string.find(environment, '%', 1, true)
    then
        environment = string.gsub(environment, '[%%:]',
                                  {['%'] = '%25', [':'] = '%3A'})
    end
    return P .. ':pending:' .. environment, P .. ':since:' .. environment
end

-- ids of a stream: milliseconds and a number

local function later(id, other)
    if #id == #other and string.byte(id, 14) == 45
       and string.byte(other, 14) == 45
    then
        return id > other
    end

    local ms, n = string.match(id, '^(%d+)%-(%d+)$')
    local other_ms, other_n = string.match(other, '^(%d+)%-(%d+)$')

    return ms and (tonumber(ms) > tonumber(other_ms)
                   or (ms == other_ms and tonumber(n) > tonumber(other_n)))
end

-- How far an environment has come.  What was done in an epoch that is over may
-- be lost

local function follow(position, places)
    local epoch, id, rest = string.match(position,
                                         '^(%d+):(%d+%-%d+)(:%x*)$')
    local moved, last, fits = false, '', true

    for _, i in ipairs(places) do
        local progress = ARGV[i + PROGRESS]

        if progress ~= '' and progress ~= last then
            local own, new = string.match(progress, '^(%d+):(.*)$')

            last, fits = progress, own == epoch and epoch ~= nil

            if fits and later(new, id) then
                moved, id = true, new
            end
        end

        if progress ~= '' and not fits then
            stale = stale or {}
            stale[i] = true
        end
    end

    return moved and epoch .. ':' .. id .. rest
end

-- what is settled is pending no more

local function release(environment, places)
    local pending, since = keys_of(environment)
    local gone = {pending, nil}

    for _, i in ipairs(places) do
        if stale and stale[i] then
            redis.pcall('ZADD', pending, 'XX', stamp, ARGV[i + MEMBER])
        elseif ARGV[i + STATE] ~= 'pending' then
            gone[#gone + 1] = ARGV[i + MEMBER]
        end
    end

    if #gone > 1 then
        local is = redis.pcall('ZREM', unpack(gone))
        failure = type(is) == 'table' and is or failure

        gone[1] = since
        redis.pcall('ZREM', unpack(gone))
    end
end

-- not settled by this attempt: due again, and others are to see since when

local function postpone(i, due, operation)
    local pending, since = keys_of(ARGV[i])

    -- whose hands have taken it out have taken it out
    if redis.call('ZADD', pending, 'XX', 'CH', string.format('%.0f', due),
                  ARGV[i + MEMBER]) == 0
    then
        return
    end

    local created = redis.pcall('ZSCORE', P .. ':operations', operation)

    redis.pcall('ZADD', since, 'NX', type(created) == 'string' and created
                                     or stamp, ARGV[i + MEMBER])
end

-- what is to be done about one that is pending

local function words(how, state)
    local is = {}

    if how ~= '' and state == 'pending' then
        for word in string.gmatch(how, '%S+') do
            is[word] = true
        end
        is.due = tonumber(string.match(how, 'due=(%d+)'))
        is.due = is.due and math.min(is.due, LATEST)
    end

    return is
end

-- the new receipt, unless somebody else has settled it, and when the next
-- attempt is due

local function write(i, kept)
    local state, ms, error = ARGV[i + STATE], ARGV[i + MS], ARGV[i + FAILURE]
    local gateways, effect, waiting

    if ARGV[i + GATEWAYS] ~= '' then
        gateways, effect, waiting =
            string.match(ARGV[i + GATEWAYS], '^(%d+) (%d+) ?([%a_]*)$')
    end

    -- as delete.lua writes it, and what mostly becomes of it
    if kept == '{"state":"pending","attempts":0}' and error == ''
       and (state == 'undeployed' or state == 'not_deployed')
    then
        return '{"state":"' .. state .. '","attempts":1,"last":' .. stamp
               .. ',"ms":' .. ms
               .. (gateways and ',"gateways":' .. gateways .. ',"effective":'
                                .. effect or '')
               .. '}'
    end

    local ok, receipt = pcall(cjson.decode, kept or '')

    if not ok or type(receipt) ~= 'table' then
        receipt = {}
    end

    if receipt.state and receipt.state ~= 'pending' then
        return
    end

    -- an attempt that waits is none before it is over
    waiting = waiting ~= '' and waiting
    local how = words(ARGV[i + HOW], state)
    local unclear = type(receipt.unclear) == 'number' and receipt.unclear
    local heard = type(receipt.heard) == 'number' and receipt.heard

    -- what was done by an earlier attempt is not there any more
    if state == 'not_deployed'
       and (receipt.waiting == 'undeployed' or unclear or heard)
    then
        state = 'undeployed'
    end

    if receipt.waiting ~= 'undeployed' then
        receipt.waiting = waiting or receipt.waiting
    end
    receipt.state = state
    receipt.attempts = (tonumber(receipt.attempts) or 0)
                       + ((state == 'unregistered' or waiting
                           or how.unattempted) and 0 or 1)
    receipt.first = receipt.first or not how.unattempted
                    and now - (gateways and not waiting and effect or ms) or nil
    receipt.last, receipt.next = now, nil
    receipt.ms = tonumber(ms)
    receipt.error = error ~= '' and error or receipt.error
    receipt.gateways = tonumber(gateways)
    receipt.unclear = how.unclear and now or state == 'pending' and unclear
                      or nil
    receipt.heard = how.heard and now or state == 'pending' and heard or nil
    receipt.held = how.due and true or nil

    if state ~= 'pending' then
        if receipt.waiting or heard then
            receipt.waiting, receipt.error = nil, nil
        end
        receipt.effective = gateways and math.floor(now - receipt.first)
    elseif waiting then
        receipt.next = now + effect
    elseif how.due then
        receipt.next = now + how.due
    else
        -- three quarters of the delay and a random part of the rest
        local delay = ARGV[2] * 2 ^ math.min(receipt.attempts - 1, 30)
        local random = (clock[2] + i * 1327) % 1000
        delay = math.min(delay, ARGV[3]) * (750 + random / 2) / 1000
        receipt.next = now + math.floor(delay)
    end

    return cjson.encode(receipt), receipt.next
end

-- what somebody has to hear of

local function audit(i, operation)
    local api, scope, id =
        string.match(ARGV[i + MEMBER], '^([^:]*):([^:]*):([^:]*):')

    local function unescape(s)
        return (string.gsub(s, '%%(%x%x)', function (hex)
            return string.char(tonumber(hex, 16))
        end))
    end

    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'api', api,
               'scope', unescape(scope), 'id', unescape(id), 'subject', '',
               'client', '', 'result', ARGV[i + STATE],
               'operation', operation, 'environment', ARGV[i])
end

-- whether a newer deployment stays anywhere, as nobody has told again since

local function stays(key)
    for _, value in ipairs(redis.call('HGETALL', key)) do
        if string.find(value, '^{.*"state":"superseded"') then
            return true
        end
    end
    return false
end

-- Nothing of this operation is open any more.  One of an earlier copy of the
-- credential may be, which was deleted, created again and deleted again
-- meanwhile.  Where a newer deployment stays, a caller with a revision may ask
-- again, and hears of that

local function close(open, operation, previous, superseded)
    if redis.call('GET', open) ~= operation then
        return
    end

    for _ = 1, 100 do
        if not previous then
            break
        end
        local is = redis.pcall('HMGET', P .. ':operation:' .. previous, 'api',
                               'completed_at', 'previous')
        if is[1] and not is[2] then
            redis.call('SET', open, previous)
            return
        end
        previous = is[3]
    end

    if superseded and stays(P .. ':operation:' .. operation) then
        redis.call('EXPIRE', open, '604800')
    else
        redis.call('DEL', open)
    end
end

-- the receipts of one operation: what is to be set of them in its hash, and how
-- many are settled by this

local function receipts(places, fields, kept, operation)
    local set, done = {nil, nil, nil, nil, nil, nil, nil, nil}, 0

    for j, i in ipairs(places) do
        local field = fields[j]
        -- several may have made the same attempt
        local was = kept[field] or kept[j + OWN]
        local receipt, due = write(i, was)
        kept[field] = receipt or was

        if due then
            postpone(i, due, operation)
        end

        if receipt and kept[j + OWN] then
            set[#set + 1], set[#set + 2] = field, receipt
            done = done + (due and 0 or 1)

            if ARGV[i + STATE] == 'unregistered'
               or ARGV[i + STATE] == 'superseded'
            then
                audit(i, operation)
                kept.superseded = kept.superseded
                                  or ARGV[i + STATE] == 'superseded'
            end
        end
    end

    return set, done
end

local function acknowledge(member, places)
    -- API:scope:id:revision:operation, if nobody has put anything else there
    local names, operation =
        string.match(member, '^([^:]*:[^:]*:[^:]*):[^:]*:(%x*)$')
    local key = P .. ':operation:' .. (operation or '')
    local fields = {nil, nil}

    for j, i in ipairs(places) do
        fields[j] = 'environment:' .. ARGV[i]
    end

    -- the operation may be gone with the hands of an operator

    local kept = redis.pcall('HMGET', key, 'pending', 'previous',
                             'superseded', unpack(fields))
    if kept.err then
        return
    end
    kept.superseded = kept[3]

    local set, done = receipts(places, fields, kept, operation)
    local left = math.max((tonumber(kept[1]) or 0) - done, 0)
    local complete = done > 0 and left == 0

    if done > 0 then
        set[#set + 1], set[#set + 2] = 'pending', string.format('%d', left)
    end
    if complete then
        set[#set + 1], set[#set + 2] = 'completed_at', stamp
    end
    if kept.superseded and not kept[3] then
        set[#set + 1], set[#set + 2] = 'superseded', '1'
    end
    if #set > 0 then
        redis.call('HSET', key, unpack(set))
    end
    if complete then
        redis.call('EXPIRE', key, '604800')
    end
    if names and (complete or not kept[1]) then
        close(P .. ':open:' .. names, operation, kept[2], kept.superseded)
    end
end

-- what is written of one environment, or of one operation, is written together

local environments, names, operations = {}, {nil, nil}, {}

for i = FIRST, #ARGV, STRIDE do
    local places = environments[ARGV[i]]
    if places then
        places[#places + 1] = i
    else
        names[#names + 1], environments[ARGV[i]] = ARGV[i], {i, nil}
    end
end

local known = redis.pcall('HMGET', P .. ':positions', unpack(names))
local positions = {nil, nil, nil, nil}

for n, name in ipairs(names) do
    local position = follow(known[n] or '', environments[name])
    if position then
        positions[#positions + 1], positions[#positions + 2] = name, position
    end
end

-- first what takes no memory, which lets a Redis that has none do the rest

for _, name in ipairs(names) do
    release(name, environments[name])
end

if #positions > 0 then
    redis.call('HSET', P .. ':positions', unpack(positions))
end

for i = FIRST, #ARGV, STRIDE do
    if not (stale and stale[i]) then
        local places = operations[ARGV[i + MEMBER]]
        if places then
            places[#places + 1] = i
        else
            operations[ARGV[i + MEMBER]] = {i, nil}
        end
    end
end

for member, places in pairs(operations) do
    local ok, is = pcall(acknowledge, member, places)
    if not ok then
        failure = type(is) == 'table' and is or {err = is}
    end
end

if not stale then
    return failure
end

local reply = {}

for i = FIRST, #ARGV, STRIDE do
    reply[#reply + 1] = stale[i] and 'stale' or ''
end

return reply
