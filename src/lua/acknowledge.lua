-- Writes receipts: settled undeployments leave the pending entries, the others
-- are due again later.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, shortest and longest delay (ms); then for each undeployment
--          environment, member, state, error, duration (ms), jitter (0..999)
-- returns  how many left the pending entries

local P, shortest, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call, find, format = redis.call, string.find, string.format
local clock = call('TIME')
local stamp = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now = tonumber(stamp)
local settled = 0

-- as delete.lua writes it
local fresh = '{"state":"pending","attempts":0}'

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

local function decode(receipt)
    local ok, value = pcall(cjson.decode, receipt or '')
    return ok and type(value) == 'table' and value or {}
end

-- milliseconds as a string, since Redis would format a number as a float
local function time(ms)
    return format('%d%03d', ms / 1000, ms % 1000)
end

-- the new receipt, and when the next attempt is due

local function write(i, kept)
    local state, failure, duration = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]

    if kept == fresh and state == 'undeployed' and failure == '' then
        return format('{"state":"undeployed","attempts":1,"first":%s,'
                      .. '"last":%s,"duration":%s}',
                      time(now - duration), stamp, duration)
    end

    local receipt = decode(kept)

    receipt.state = state
    receipt.attempts = (tonumber(receipt.attempts) or 0)
                       + (state == 'unregistered' and 0 or 1)
    receipt.first = receipt.first or now - duration
    receipt.last = now
    receipt.duration = tonumber(duration)
    receipt.error = failure ~= '' and failure or receipt.error
    receipt.next = nil

    if state == 'pending' then
        local delay = shortest * 2 ^ math.min(receipt.attempts - 1, 30)
        delay = math.min(delay, longest) * (750 + ARGV[i + 5] / 2) / 1000
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
        local is = call('HMGET', P .. ':operation:' .. operation, 'api',
                        'completed_at', 'previous')
        if is[1] and not is[2] then
            return operation
        end
        operation = is[3]
    end
end

-- what is written of one operation is written together

local groups, order, pendings = {}, {}, {}

for i = 4, #ARGV, 6 do
    local member = ARGV[i + 1]
    local group = groups[member]
    if group then
        group[#group + 1] = i
    else
        groups[member] = {i}
        order[#order + 1] = member
    end
end

for _, member in ipairs(order) do
    local open, fields = {}, {}

    for _, i in ipairs(groups[member]) do
        local environment = ARGV[i]
        local pending = pendings[environment]

        if not pending then
            pending = P .. ':pending:' .. escape(environment)
            pendings[environment] = pending
        end

        -- an entry that is gone was settled by somebody else

        if ARGV[i + 2] ~= 'pending' and call('ZREM', pending, member) == 1
           or ARGV[i + 2] == 'pending' and call('ZSCORE', pending, member)
        then
            open[#open + 1] = i
            fields[#fields + 1] = 'environment:' .. environment
        end
    end

    if #open > 0 then
        local api, names, operation =
            string.match(member, '^([^:]+)(:[^:]*:[^:]*):%d*:(%x+)$')
        local key = P .. ':operation:' .. (operation or '')
        local set, left, done = {}, 0, 0

        -- the operation may be gone with the hands of an operator

        local kept = operation and redis.pcall('HMGET', key, 'pending',
                                               'previous', unpack(fields)) or {}

        for j, i in ipairs(open) do
            local receipt, due = write(i, kept[j + 2])

            if due then
                call('ZADD', pendings[ARGV[i]], 'XX', time(due), member)
            else
                settled = settled + 1
            end

            if kept[j + 2] then
                set[#set + 1] = fields[j]
                set[#set + 1] = receipt
                done = done + (due and 0 or 1)
            end

            if ARGV[i + 2] == 'unregistered' and operation then
                local S, I = string.match(names, '^:([^:]*):([^:]*)$')
                call('XADD', KEYS[1], 'MAXLEN', '~', '100000', '*', 'api', api,
                     'scope', unescape(S), 'id', unescape(I), 'subject', '',
                     'client', '', 'result', 'unregistered', 'operation',
                     operation, 'environment', ARGV[i])
            end
        end

        if done > 0 then
            left = (tonumber(kept[1]) or 0) - done
            set[#set + 1] = 'pending'
            set[#set + 1] = left > 0 and format('%d', left) or '0'
            if left <= 0 then
                set[#set + 1] = 'completed_at'
                set[#set + 1] = stamp
            end
        end

        if #set > 0 then
            call('HSET', key, unpack(set))
        end

        if done > 0 and left <= 0 then
            call('EXPIRE', key, '604800')
            key = P .. ':open:' .. api .. names
            if call('GET', key) == operation then
                local previous = incomplete(kept[2])
                if previous then
                    call('SET', key, previous)
                else
                    call('DEL', key)
                end
            end
        end
    end
end

return settled
