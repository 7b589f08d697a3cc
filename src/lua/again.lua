-- Compares how far an environment's stream of undeployments has come with what
-- is known here, and tells an environment that lost its memory again: whatever
-- was settled there and is still on record is pending once more, newest first,
-- some at a time.
--
-- An epoch is the time between two losses.  Whoever undeploys knows that of his
-- connection, and acknowledge.lua settles nothing of another one.
--
-- KEYS[1]  P:positions
-- ARGV     prefix, environment and what to do: "ask", "admit" (it has what is
--          known here), "lost" (it has not) or "more" (of what was lost); but
--          for "ask" then the epoch, what stream.lua returned: last id and run
--          id, and the id that it has looked for
-- returns  for "ask" the epoch, the id of the last known entry or "", "more" or
--          "" (nothing is to be told), and the run id of this Redis or "";
--          otherwise "admitted", "more" or "changed" (ask again), the epoch,
--          and how many were told

local P, environment, what = ARGV[1], ARGV[2], ARGV[3]
local looked_for = ARGV[7]
local call = redis.call
local positions, cursors = KEYS[1], P .. ':again'

local BATCH = 50

-- while its slot moves, what is not here may be where it moves to: nothing is
-- done then, since such a key cannot be asked for
call('EXISTS', P .. ':none')

local clock = call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)

local function escape(s)
    return (string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
end

local pending = P .. ':pending:' .. escape(environment)
local since = P .. ':since:' .. escape(environment)

local function position()
    local is = call('HGET', positions, environment)
    local epoch, id, run_id =
        string.match(is or '', '^(%d+):(%d+%-%d+):(%x*)$')

    if epoch then
        return {epoch = epoch, id = id, run_id = run_id}
    end

    -- one that cannot be read is none that an environment could have
    return {epoch = '0', id = is and '0-1' or '', run_id = ''}
end

local function write(is)
    call('HSET', positions, environment, is.epoch .. ':' .. is.id .. ':'
                                         .. is.run_id)
end

local function next_epoch(is)
    is.epoch = string.format('%d', is.epoch + 1)
end

-- revisions may be larger than what a Lua number holds
local function newer(revision, other)
    local digits = string.match(revision or '', '^0*(%d+)$') or '0'
    return #digits > #other or (#digits == #other and digits > other)
end

local function ask()
    local known = position()
    local more = call('HEXISTS', cursors, environment) == 1
    local server = redis.pcall('INFO', 'server')
    local run_id = type(server) == 'string'
                   and string.match(server, 'run_id:(%x+)') or ''

    return {known.epoch, known.id, more and 'more' or '', run_id}
end

-- The receipt as it is to be, or nil if there is nothing to tell.  Of what was
-- created again only a higher revision keeps the copy: the others are spared

local function reopened(names, revision, api, receipt)
    local ok, is = pcall(cjson.decode, receipt or '')
    local credential = P .. ':' .. api .. ':credential' .. names
    local now = redis.pcall('HGET', credential, 'revision')

    now = type(now) == 'string' and now or nil

    if not ok or type(is) ~= 'table' or is.state == 'pending'
       or is.state == 'unregistered'
       or (call('EXISTS', credential) == 1 and not newer(now, revision))
    then
        return
    end

    is.state, is.again = 'pending', (tonumber(is.again) or 0) + 1
    is.next = tonumber(stamp)

    return cjson.encode(is)
end

-- One that is kept to tell of what was superseded is over, and expires

local function open(names, operation)
    local key = P .. ':open:' .. names
    local is = redis.pcall('GET', key)

    if is == operation then
        call('PERSIST', key)
    elseif not is or type(is) == 'string'
                     and call('HEXISTS', P .. ':operation:' .. is,
                              'completed_at') == 1
    then
        call('SET', key, operation)
    end
end

local function tell(operation)
    local key, field = P .. ':operation:' .. operation,
                       'environment:' .. environment
    local is = redis.pcall('HMGET', key, 'api', 'scope', 'id', 'revision',
                           'pending', field)
    local api, revision, count, receipt = is[1], is[4], is[5], is[6]

    if not (api and is[2] and is[3] and revision and receipt) then
        return 0
    end

    local names = ':' .. escape(is[2]) .. ':' .. escape(is[3])
    local again = reopened(names, revision, api, receipt)
    if not again then
        return 0
    end

    local member = api .. names .. ':' .. revision .. ':' .. operation
    call('ZADD', pending, stamp, member)
    redis.pcall('ZADD', since, stamp, member)
    call('HSET', key, field, again,
         'pending', string.format('%d', (tonumber(count) or 0) + 1))
    call('HDEL', key, 'completed_at')
    call('PERSIST', key)
    open(api .. names, operation)

    return 1
end

-- A cursor is a score and how many of this score were told, with a space
-- between.  New operations come before it, so they do not move it

local function batch(cursor)
    local score, offset = string.match(cursor, '^(%d+) (%d+)$')
    score, offset = score or '+inf', offset or '0'
    local found = call('ZREVRANGEBYSCORE', P .. ':operations', score, '-inf',
                       'WITHSCORES', 'LIMIT', offset, BATCH)
    local told, last = 0, found[#found]

    if last then
        call('SADD', P .. ':pending', environment)
    end

    local same = last == score and tonumber(offset) or 0

    for i = 1, #found, 2 do
        told = told + tell(found[i])
        same = same + (found[i + 1] == last and 1 or 0)
    end

    return told, #found == 2 * BATCH and last .. ' ' .. same or nil
end

local function more(is)
    local cursor = call('HGET', cursors, environment)
    if not cursor then
        return {'changed', is.epoch, 0}
    end

    local told, left = batch(cursor)

    if left then
        call('HSET', cursors, environment, left)
        return {'more', is.epoch, told}
    end

    call('HDEL', cursors, environment)
    write(is)

    return {'admitted', is.epoch, told}
end

-- until it has been told all, what is known stays what it does not have

local function lost(is, known)
    next_epoch(is)
    write({epoch = is.epoch, id = known.id ~= '' and known.id or '0-1',
           run_id = known.run_id})
    call('HSET', cursors, environment, '+inf 0')

    return {'more', is.epoch, 0}
end

-- A restart ends an epoch, too: what the run before has acknowledged and this
-- one has lost may still be on its way here

local function admit(is, known)
    if call('HEXISTS', cursors, environment) == 1 then
        return {'changed', is.epoch, 0}
    end

    if known.epoch == '0' then
        next_epoch(is)
        write(is)
    elseif known.run_id ~= is.run_id then
        -- what was acknowledged meanwhile may be what this run has lost
        if known.id ~= looked_for then
            return {'changed', is.epoch, 0}
        end
        next_epoch(is)
        write({epoch = is.epoch, id = known.id, run_id = is.run_id})
    end

    return {'admitted', is.epoch, 0}
end

if what == 'ask' then
    return ask()
end

local known = position()
local is = {epoch = ARGV[4], id = string.match(ARGV[5], '^%d+%-%d+$') or '0-0',
            run_id = string.match(ARGV[6], '^%x+$') or ''}

if known.epoch ~= is.epoch then
    return {'changed', known.epoch, 0}
end

if what == 'more' then
    return more(is)
end

return what == 'lost' and lost(is, known) or admit(is, known)
