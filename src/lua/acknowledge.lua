-- Writes receipts: settled undeployments leave the pending entries, the others
-- are due again later.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, shortest and longest delay (ms); then for each undeployment
--          environment, member, state, error, duration (ms), jitter (0..999)
-- returns  how many left the pending entries

local P, shortest, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local settled = 0

local function escape(s)
    return (string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
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

local function complete(key, operation, api, names)
    local open = P .. ':open:' .. api .. names
    call('HSET', key, 'completed_at', now)
    call('EXPIRE', key, 604800)
    if call('GET', open) == operation then
        call('DEL', open)
    end
end

for i = 4, #ARGV, 6 do
    local environment, member, state = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local failure, duration = ARGV[i + 3], tonumber(ARGV[i + 4])
    local pending = P .. ':pending:' .. escape(environment)
    local api, names, operation =
        string.match(member, '^([^:]+)(:[^:]*:[^:]*):%d*:(%x+)$')
    local due = state == 'pending' and call('ZSCORE', pending, member)

    -- an entry that is gone was settled by somebody else

    if due or (state ~= 'pending' and call('ZREM', pending, member) == 1) then
        local key = P .. ':operation:' .. (operation or '')
        local field = 'environment:' .. environment
        local kept = operation and call('HGET', key, field)
        local receipt = decode(kept)

        receipt.state = state
        receipt.attempts = (tonumber(receipt.attempts) or 0)
                           + (state == 'unregistered' and 0 or 1)
        receipt.first = receipt.first or now - duration
        receipt.last = now
        receipt.duration = duration
        receipt.error = failure ~= '' and failure or receipt.error
        receipt.next = nil

        if due then
            local delay = shortest * 2 ^ math.min(receipt.attempts - 1, 30)
            delay = math.min(delay, longest) * (750 + ARGV[i + 5] / 2) / 1000
            receipt.next = now + math.floor(delay)
            call('ZADD', pending, receipt.next, member)
        else
            settled = settled + 1
        end

        -- the operation may be gone with the hands of an operator

        if kept then
            call('HSET', key, field, cjson.encode(receipt))
            if not due and call('HINCRBY', key, 'pending', -1) <= 0 then
                complete(key, operation, api, names)
            end
        end

        if state == 'unregistered' and operation then
            local S, I = string.match(names, '^:([^:]*):([^:]*)$')
            call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'api', api,
                 'scope', unescape(S), 'id', unescape(I), 'subject', '',
                 'client', '', 'result', 'unregistered', 'operation',
                 operation, 'environment', environment)
        end
    end
end

return settled
