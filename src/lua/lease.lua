-- A gateway says what it has applied, and learns of undeployments after that.
-- It has a lease only if there are none.
--
-- KEYS[1]  P:gateways
-- ARGV     prefix, gateway, lease (ms) and the id that it has applied, or ""
-- returns  a word, the id to be applied by it, and API:SCOPE:ID, escaped, of
--          each undeployment.  The words are "leased"; "entries", to be applied
--          before the next call; and "forget": the stream does not reach back
--          to what was applied, so that anything may be gone

local P, name, lease, applied = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call = redis.call
local stream = P .. ':undeployments'

local BATCH = 500

local function escape(s)
    if string.find(s, ':', 1, true) or string.find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

-- an entry with other fields is none of undeploy.lua

local function who(fields)
    local is = {}
    for i = 1, #fields, 2 do
        is[fields[i]] = fields[i + 1]
    end
    return is.api and is.scope and is.id
           and is.api .. ':' .. escape(is.scope) .. ':' .. escape(is.id)
end

-- a replica refuses; and what takes no memory lets Redis note the rest when it
-- has none left
call('DEL', P .. ':none')

local newest = call('XREVRANGE', stream, '+', '-', 'COUNT', '1')[1]
local last = newest and newest[1] or '0-0'

-- the entry itself is looked for: ids of another life of the stream mean
-- nothing, whether they are higher or lower

local entries

if applied == last then
    entries = {}
elseif applied ~= '' and applied ~= '0-0' then
    entries = redis.pcall('XRANGE', stream, applied, '+',
                          'COUNT', tostring(BATCH + 1))
    if entries.err or not entries[1] or entries[1][1] ~= applied then
        entries = nil
    end
end

local clock = call('TIME')

call('HSET', KEYS[1], name,
     lease .. ' ' .. (entries and applied or '0-0') .. ' ' .. last .. ' '
     .. clock[1] .. string.sub('00000' .. clock[2], -6, -4))

if not entries then
    return {'forget', last}
end

if #entries == 0 then
    return {'leased', last}
end

local reply = {'entries', entries[#entries][1]}

for i = 2, #entries do
    reply[#reply + 1] = who(entries[i][2]) or nil
end

return reply
