-- Tells operators what there is.  Nothing is written.
--
-- KEYS[1]  P:audit
-- ARGV     prefix and what to tell of: "all", "operation" and its id,
--          "environment" and its name, or "credential" and API, scope and id
-- returns  time (ms), then records: arrays of a field, its value, the next
--          field and so on.  "all" has one with "environment" for each that is
--          registered or has pending entries, one with "more" and of how many
--          there is no room to tell, and the last entries of the audit

local P, what = ARGV[1], ARGV[2]
local call = redis.call

local AUDITED, SEARCHED, LISTED, ENVIRONMENTS = 20, 1000, 100, 500
local URL_LENGTH, ELEMENTS = 4096, 4096

-- the caller bounds what it reads
local bytes = 524288

-- while its slot moves, what is not here may be where it moves to: nothing is
-- told then, since such a key cannot be asked for
call('EXISTS', P .. ':none')

local clock = call('TIME')
local reply = {clock[1] .. string.sub('00000' .. clock[2], -6, -4)}

local function escape(s)
    return (string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
end

local function unescape(s)
    return (string.gsub(s, '%%(%x%x)', function (hex)
        return string.char(tonumber(hex, 16))
    end))
end

local function tell(record)
    for i = 1, #record do
        bytes = bytes - #record[i]
    end
    if bytes >= 0 then
        reply[#reply + 1] = record
    end
    return bytes >= 0
end

-- what is no key of the kind that it is to be has nothing

local function try(...)
    local is = redis.pcall(...)
    return (type(is) ~= 'table' or not is.err) and is or nil
end

-- since when an entry is pending: known of those that an attempt has not
-- settled, and of the others since they were deleted

local function since_of(since, member)
    return try('ZSCORE', since, member)
           or try('ZSCORE', P .. ':operations', string.match(member, '[^:]*$'))
end

-- an entry without an attempt is due in the order in which it came

local function oldest(pending, since)
    local first = try('ZRANGE', pending, '0', '0') or {}
    local best = first[1] and since_of(since, first[1])

    for _, member in ipairs(try('ZRANGE', since, '0', '99') or {}) do
        if try('ZSCORE', pending, member) then
            local at = try('ZSCORE', since, member)
            if not best or tonumber(at) < tonumber(best) then
                best = at
            end
            break
        end
    end

    return best or ''
end

-- where something is pending comes first, in case there is no room for all

local function environments()
    local names, urls, waits, count = {}, {}, {}, 0
    local all = call('HGETALL', P .. ':environments')

    for i = 1, #all, 2 do
        names[#names + 1], urls[all[i]] = all[i], all[i + 1]
    end
    for _, name in ipairs(try('SMEMBERS', P .. ':pending') or {}) do
        waits[name] = true
        if not urls[name] then
            names[#names + 1] = name
        end
    end

    table.sort(names, function (one, two)
        if waits[one] ~= waits[two] then
            return waits[one]
        end
        return one < two
    end)

    for i = 1, math.min(#names, ENVIRONMENTS) do
        local name = names[i]
        local key, url = escape(name), urls[name]
        local pending, since = P .. ':pending:' .. key, P .. ':since:' .. key
        local size = try('ZCARD', pending)

        -- one that is not registered, with nothing pending any more
        if (url or size ~= 0)
           and not tell({'environment', name,
                         'registered', url and '1' or '0',
                         'url', url and #url <= URL_LENGTH and url or '',
                         'pending', size and string.format('%d', size) or '',
                         'since', size ~= 0 and oldest(pending, since) or ''})
        then
            break
        end
        count = i
    end

    if count < #names then
        reply[#reply + 1] = {'more', string.format('%d', #names - count)}
    end
end

local function audited(entry)
    local record = {'time', string.match(entry[1], '^%d+') or '0'}

    for i = 1, #entry[2] do
        record[i + 2] = entry[2][i]
    end

    return record
end

-- its receipts as far as there is room, and then what connectors call it; it
-- says itself how many there are

local function operation(id)
    local record = {'operation', id}
    local all = try('HGETALL', P .. ':operation:' .. id) or {}

    local function add(kind)
        for i = 1, #all, 2 do
            local size = #all[i] + #all[i + 1]
            local is = string.match(all[i], '^(%l+:)')

            if is == kind and size <= bytes and #record < ELEMENTS then
                record[#record + 1], record[#record + 2] = all[i], all[i + 1]
                bytes = bytes - size
            end
        end
    end

    add(nil)
    add('environment:')
    add('target:')

    if #all > 0 then
        reply[#reply + 1] = record
    end
end

local function environment(name)
    local key, told = escape(name), {}
    local pending, since = P .. ':pending:' .. key, P .. ':since:' .. key

    local function list(members)
        for _, member in ipairs(members or {}) do
            local due = try('ZSCORE', pending, member)
            local api, scope, id, own =
                string.match(member, '^([^:]*):([^:]*):([^:]*):[^:]*:(%x*)$')

            if due and api and not told[member] and #reply <= LISTED then
                told[member] = true
                tell({'operation', own, 'api', api, 'scope', unescape(scope),
                      'id', unescape(id), 'due', due,
                      'created_at', since_of(since, member) or ''})
            end
        end
    end

    list(try('ZRANGE', since, '0', tostring(LISTED - 1)))
    list(try('ZRANGE', pending, '0', tostring(LISTED - 1)))
end

local function credential(api, scope, id)
    local open = try('GET', P .. ':open:' .. api .. ':' .. escape(scope) .. ':'
                            .. escape(id))
    local found = 0

    if open then
        operation(open)
    end

    for _, entry in ipairs(call('XREVRANGE', KEYS[1], '+', '-', 'COUNT',
                                tostring(SEARCHED)))
    do
        local is = {}
        for i = 1, #entry[2], 2 do
            is[entry[2][i]] = entry[2][i + 1]
        end

        if is.api == api and is.scope == scope and is.id == id
           and found < AUDITED
        then
            found = found + 1
            tell(audited(entry))
        end
    end
end

if what == 'operation' then
    operation(ARGV[3])

elseif what == 'environment' then
    environment(ARGV[3])

elseif what == 'credential' then
    credential(ARGV[3], ARGV[4], ARGV[5])

else
    environments()

    for _, entry in ipairs(call('XREVRANGE', KEYS[1], '+', '-', 'COUNT',
                                tostring(AUDITED)))
    do
        tell(audited(entry))
    end
end

return reply
