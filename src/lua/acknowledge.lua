-- Writes receipts: settled undeployments leave the pending entries, the others
-- are due again later.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, shortest and longest delay (ms); then for each undeployment
--          environment, member, state, error and duration (ms)
-- returns  nil or the last error

local P, shortest, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call, try = redis.call, redis.pcall
local find, format, sub = string.find, string.format, string.sub
local ARGV = ARGV
local clock = call('TIME')
local stamp = clock[1] .. sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)
local kept_until = format('%d', clock[1] + 604800)

-- as delete.lua writes it, and what mostly becomes of it
local fresh = '{"state":"pending","attempts":0}'
local once = '","attempts":1,"last":' .. stamp .. ',"ms":'

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

-- the new receipt, unless somebody else has settled it, and when the next
-- attempt is due

local function write(i, kept)
    local state, failure, duration = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]

    if kept == fresh and failure == ''
       and (state == 'undeployed' or state == 'not_deployed')
    then
        return '{"state":"' .. state .. once .. duration .. '}'
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
    receipt.first = receipt.first or now - duration
    receipt.last = now
    receipt.ms = tonumber(duration)
    receipt.error = failure ~= '' and failure or receipt.error
    receipt.next = nil

    if state == 'pending' then
        -- three quarters of the delay and a random part of the rest
        local delay = shortest * 2 ^ math.min(receipt.attempts - 1, 30)
        local random = (clock[2] + i * 7919) % 1000
        delay = math.min(delay, longest) * (750 + random / 2) / 1000
        receipt.next = now + math.floor(delay)
    end

    return cjson.encode(receipt), receipt.next
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

-- what is written of one operation, or of one environment, is written together

local environments, operations, members = {}, {}, {}
local opens, closed, previous = {}, {}, {}

-- the place of the colon after this one
local function colon(s, place)
    return place and find(s, ':', place + 1, true)
end

local function acknowledge(member)
    local fields, set, n, done = {}, {}, 0, 0

    -- API:scope:id:revision:operation, if nobody has put anything else there
    local names = colon(member, colon(member, colon(member, 0)))
    local last = colon(member, names)
    local operation = last and #member == last + 32 and sub(member, last + 1)
                      or ''
    local key = P .. ':operation:' .. operation

    for j, i in ipairs(operations[member]) do
        fields[j] = environments[ARGV[i]].field
    end

    -- the operation may be gone with the hands of an operator

    local kept = try('HMGET', key, 'pending', 'previous', unpack(fields))

    for j, i in ipairs(operations[member]) do
        -- several may have made the same attempt
        local was = kept[fields[j]] or kept[j + 2]
        local receipt, due = write(i, was)
        kept[fields[j]] = receipt or was

        if due then
            call('ZADD', environments[ARGV[i]].pending, 'XX', time(due), member)
        end

        receipt = kept[j + 2] and receipt

        if receipt then
            set[n + 1], set[n + 2] = fields[j], receipt
            n, done = n + 2, done + (due and 0 or 1)
        end

        if receipt and ARGV[i + 2] == 'unregistered' then
            local api, scope, id =
                string.match(member, '^([^:]*):([^:]*):([^:]*):')
            call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
                 'scope', unescape(scope), 'id', unescape(id), 'subject', '',
                 'client', '', 'result', 'unregistered',
                 'operation', operation, 'environment', ARGV[i])
        end
    end

    local left = (tonumber(kept[1]) or 0) - done

    if done > 0 then
        set[n + 1] = 'pending'
        set[n + 2] = left > 0 and format('%d', left) or '0'
        n = n + 2
    end

    if done > 0 and left <= 0 then
        set[n + 1], set[n + 2] = 'completed_at', stamp
    end

    if n > 0 then
        call('HSET', key, unpack(set))
    end

    if done > 0 and left <= 0 then
        call('EXPIREAT', key, kept_until)
        n = #opens + 1
        opens[n] = P .. ':open:' .. sub(member, 1, names - 1)
        closed[n], previous[n] = operation, kept[2]
    end
end

for i = 4, #ARGV, 5 do
    local name, member = ARGV[i], ARGV[i + 1]
    local environment, operation = environments[name], operations[member]

    if not environment then
        environment = {pending = P .. ':pending:' .. escape(name),
                       field = 'environment:' .. name, gone = {}}
        environments[name] = environment
    end

    if ARGV[i + 2] ~= 'pending' then
        environment.gone[#environment.gone + 1] = member
    end

    if operation then
        operation[#operation + 1] = i
    else
        operations[member] = {i}
        members[#members + 1] = member
    end
end

local failure

for _, environment in pairs(environments) do
    local gone = environment.gone
    local is = #gone > 0 and try('ZREM', environment.pending, unpack(gone))
    failure = type(is) == 'table' and is or failure
end

for _, member in ipairs(members) do
    local ok, is = pcall(acknowledge, member)
    if not ok then
        failure = type(is) == 'table' and is or {err = is}
    end
end

if #opens > 0 then
    local current, gone = call('MGET', unpack(opens)), {}

    for n, key in ipairs(opens) do
        if current[n] == closed[n] then
            local op = incomplete(previous[n])
            if op then
                call('SET', key, op)
            else
                gone[#gone + 1] = key
            end
        end
    end

    if #gone > 0 then
        call('DEL', unpack(gone))
    end
end

return failure
