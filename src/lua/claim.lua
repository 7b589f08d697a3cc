-- Claims pending undeployments that are due, by moving their due time on by a
-- lease: whoever claims them is the only one to attempt them until then.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, lease (ms), how many of an environment, and how long entries
--          of one that is not registered are kept (ms); then pairs of an
--          environment and how to treat it: "skip" (claim none now) or "drain"
--          (it is back: claim those that wait for a later attempt too)
-- returns  time (ms); then for each environment that is registered or has
--          pending entries name, URL (nil if it is not registered) and an array
--          of the claimed members, each with when its credential was deleted
--          (ms) and, for a connector, what is known of it, as delete.lua
--          returns it; those of one that is not registered are to be dropped

local P, lease, most, keep = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]),
                             tonumber(ARGV[4])
local FIRST, STRIDE = 5, 2

local URL_LENGTH = 4096
local OPERATIONS, KEPT = 200, 604800000

-- of entries that are to be attempted at a time of their own, and hide others:
-- so many of an environment, and so many in all
local PAGES, HIDING = 8, 4096

local call = redis.call

-- while its slot moves, what is not here may be where it moves to: nothing is
-- done then, since such a key cannot be asked for
call('EXISTS', P .. ':none')

local function time(ms)
    return string.format('%d%03d', ms / 1000, ms % 1000)
end

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local treat, claims = {}, {time(now), nil, nil, nil}

-- the caller bounds what it reads: so many environments, of three elements
-- each, and as many members as there is room for beside them
local ENVIRONMENTS = 1000
local room, bytes = 2500, 786432
local hiding = 0

local function escape(s)
    return (string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
end

local function hash(key)
    local all, is = call('HGETALL', key), {}
    for i = 1, #all, 2 do
        is[all[i]] = all[i + 1]
    end
    return is
end

-- its pending entries, and since when they are

local function keys_of(name)
    local key = escape(name)
    return P .. ':pending:' .. key, P .. ':since:' .. key
end

local urls = hash(P .. ':environments')

-- since when it is pending; what no attempt has come back from is noted now

local function since_of(since, member)
    local at = redis.pcall('ZSCORE', since, member)

    if type(at) ~= 'string' then
        at = redis.pcall('ZSCORE', P .. ':operations',
                         string.match(member, '[^:]*$'))
        at = type(at) == 'string' and at or time(now)
        redis.pcall('ZADD', since, at, member)
    end

    return at
end

local function time_of(ms)
    return type(ms) == 'number' and ms >= 1 and ms < 1e15
           and string.format('%.0f ', math.floor(ms)) or '0 '
end

-- What is known for an attempt at a connector.  One that was claimed and never
-- came back may have acted; that is noted, since the next one may leave no word
-- of it, either.  Nothing if it is to be attempted at a time of its own, and
-- this is another one

local function known_of(name, pending, member, early)
    local key = P .. ':operation:' .. string.match(member, '[^:]*$')
    local field = 'environment:' .. name
    local is = redis.pcall('HMGET', key, 'traceparent', 'target:' .. name,
                           field)
    local ok, receipt = pcall(cjson.decode, is[3] or '')
    local score = tonumber(call('ZSCORE', pending, member))

    receipt = ok and type(receipt) == 'table' and receipt or {}

    if early and receipt.held and score == receipt.next then
        return
    end

    if score ~= receipt.next then
        score = math.min(score, now)
        receipt.unclear = score >= 1 and score or now
        local good, text = pcall(cjson.encode, receipt)
        if good and receipt.state == 'pending' then
            redis.pcall('HSET', key, field, text)
        end
    end

    local trace, target = is[1], is[2]

    trace = trace and #trace == 55 and string.find(trace, '^[%da-f%-]+$')
            and trace
    target = target and #target <= 512 and target

    return time_of(receipt.unclear) .. time_of(receipt.heard)
           .. (trace or '-') .. ' ' .. (target or '')
end

-- the entries of these scores, but for so many; returns how many were seen, and
-- how many of them are to be attempted at a time of their own

local function page(name, url, from, to, members, early, but)
    local pending, since = keys_of(name)
    local count = math.floor(math.min(most - #members / 3, room))
    local held = 0
    if count < 1 then
        return 0, 0
    end
    local connector = url and string.sub(url, 1, 10) == 'connector:'
    local due = call('ZRANGEBYSCORE', pending, from, to, 'LIMIT',
                     string.format('%d', but), string.format('%d', count))
    for _, member in ipairs(due) do
        if bytes <= 0 then
            return 0, 0
        end
        local known = ''
        if connector then
            known = known_of(name, pending, member, early)
        end
        if known then
            call('ZADD', pending, time(now + lease), member)
            local n = #members
            members[n + 1], members[n + 2] = member, since_of(since, member)
            members[n + 3] = known
            room, bytes = room - 1, bytes - #member - #known
        else
            held = held + 1
        end
    end
    return #due, held
end

-- what is claimed leaves these scores, or is behind what is left of them

local function claim(name, url, from, to, members, early)
    local but = 0
    for _ = 1, early and PAGES or 1 do
        local seen, held = page(name, url, from, to, members, early, but)
        but, hiding = but + held, hiding + held
        if seen == 0 or hiding > HIDING then
            return
        end
    end
end

-- what can be attempted of an environment

local function attempt(name, url, members)
    if treat[name] ~= 'skip' then
        claim(name, url, '-inf', time(now), members)
    end

    -- what is due after the lease of whoever claims now is claimed by nobody
    if treat[name] == 'drain' then
        claim(name, url, '(' .. time(now + lease), '+inf', members, true)
    end
end

-- An environment may be renamed, or registered anew, while entries are pending:
-- nothing is dropped at first glance

local function drop(name, since, members)
    if not since then
        call('HSET', P .. ':unregistered', name, time(now))
        return
    end

    if tonumber(since) + keep <= now then
        claim(name, nil, '-inf', '+inf', members)
    end
end

local function forget(name)
    call('SREM', P .. ':pending', name)
    call('HDEL', P .. ':unregistered', name)
    call('DEL', (select(2, keys_of(name))))
end

-- in another order each time, so that each gets its turn

local function names_of(waiting)
    local names, known = {}, {}

    for name in pairs(urls) do
        known[name] = true
        names[#names + 1] = name
    end
    for _, name in ipairs(waiting) do
        if not known[name] then
            names[#names + 1] = name
        end
    end

    table.sort(names)
    return names
end

-- The index of operations has no expiry of its own.  While an environment is
-- told again, which goes by this index, nothing is moved in it

local function trim()
    local key = P .. ':operations'

    for name in pairs(hash(P .. ':again')) do
        if urls[name] then
            return
        end
        call('HDEL', P .. ':again', name)
    end

    local old = call('ZRANGEBYSCORE', key, '-inf', time(now - KEPT), 'LIMIT', 0,
                     OPERATIONS)
    for _, operation in ipairs(old) do
        if call('EXISTS', P .. ':operation:' .. operation) == 1 then
            call('ZADD', key, time(now - KEPT + 86400000), operation)
        else
            call('ZREM', key, operation)
        end
    end
end

for i = FIRST, #ARGV, STRIDE do
    treat[ARGV[i]] = ARGV[i + 1]
end

local since = hash(P .. ':unregistered')
local waiting = call('SMEMBERS', P .. ':pending')
local is_waiting = {}

for _, name in ipairs(waiting) do
    is_waiting[name] = true
end

local function visit(name, url)
    local members = {}

    if url and since[name] then
        call('HDEL', P .. ':unregistered', name)
    end

    if is_waiting[name] then
        if url then
            attempt(name, url, members)
        else
            drop(name, since[name], members)
        end

        if #members == 0 and call('EXISTS', (keys_of(name))) == 0 then
            forget(name)
            if not url then
                return
            end
        end
    end

    local n = #claims
    claims[n + 1], claims[n + 2], claims[n + 3] = name, url, members
end

local names = names_of(waiting)
local shift = #names > 0 and clock[2] % #names or 0

room = room - math.min(#names, ENVIRONMENTS)

for i = 1, #names do
    local name = names[(i + shift) % #names + 1]
    local url = urls[name] or false

    -- a URL that would fill the reply is none
    if url and #url > URL_LENGTH then
        url = ''
    end

    if #claims > 3 * ENVIRONMENTS or bytes < 0 then
        break
    end
    if #name <= bytes then
        bytes = bytes - #name - (url and #url or 0)
        visit(name, url)
    end
end

trim()

return claims
