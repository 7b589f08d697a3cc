-- A gateway says what it has applied, and learns of undeployments after that.
-- It has a lease when it has applied them all.
--
-- KEYS[1]  P:gateways
-- ARGV     prefix, gateway, lease (ms), its generation, and the id that the
--          gateway has applied, or ""
-- returns  a word, the id to be applied by it, and API:SCOPE:ID, escaped, of
--          each undeployment.  The words are "leased"; "all", which is a lease,
--          too, once they are applied; "entries", after which there are more;
--          "forget": the stream does not reach back to what was applied, so
--          that anything may be gone; and "late": a call with a newer lease
--          was here before, which is not noted over

local P, name, lease, generation, applied =
    ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local call = redis.call
local stream = P .. ':undeployments'

-- of undeployments, and of bytes of their names
local BATCH, BYTES = 500, 262144

local function escape(s)
    if string.find(s, ':', 1, true) or string.find(s, '%', 1, true) then
        s = string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'})
    end
    return s
end

-- An entry with other fields is none of undeploy.lua, and no gateway knows a
-- longer name

local function who(fields)
    local is = {}
    for i = 1, #fields, 2 do
        is[fields[i]] = fields[i + 1]
    end
    local name = is.api and is.scope and is.id
                 and escape(is.scope) .. ':' .. escape(is.id)
    return name and #name <= 4096 and is.api .. ':' .. name
end

-- a replica refuses; and what takes no memory lets Redis note the rest when it
-- has none left
call('DEL', P .. ':none')

-- old versions (6.0.16, 6.2.6) refuse no script for want of replicas

if not redis.REDIS_VERSION_NUM then
    local info = call('INFO', 'replication')
    if string.find(info, 'min_slaves_good_slaves:0', 1, true) then
        return {err = 'NOREPLICAS this Redis lacks its replicas'}
    end
end

-- nobody undeploys there: what it admits must be looked up
if call('EXISTS', P .. ':environments') == 1 then
    return {err = 'ERR this is a registry, and no environment of a gateway'}
end

local noted = string.match(call('HGET', KEYS[1], name) or '', ' (%d+)$')
if noted and tonumber(noted) > tonumber(generation) then
    return {'late', '0-0'}
end

-- an empty stream would be like any other that is empty

local newest = call('XREVRANGE', stream, '+', '-', 'COUNT', '1')[1]
local last = newest and newest[1] or call('XADD', stream, '*', 'gateway', name)

-- the entry itself is looked for: ids of another life of the stream mean
-- nothing, whether they are higher or lower

local entries

if applied == last then
    entries = {}
elseif string.find(applied, '^%d+%-%d+$') then
    entries = call('XRANGE', stream, applied, '+',
                   'COUNT', tostring(BATCH + 1))
    if not entries[1] or entries[1][1] ~= applied then
        entries = nil
    end
end

local clock = call('TIME')

call('HSET', KEYS[1], name,
     lease .. ' ' .. (entries and applied or '0-0') .. ' ' .. last .. ' '
     .. clock[1] .. string.sub('00000' .. clock[2], -6, -4) .. ' '
     .. generation)

if not entries then
    return {'forget', last}
end

if #entries == 0 then
    return {'leased', last}
end

local reply, bytes = {'all', last}, 0

for i = 2, #entries do
    local id, name = entries[i][1], who(entries[i][2])

    if name then
        bytes = bytes + #name
        reply[#reply + 1] = name
    end
    if id ~= last and (bytes > BYTES or i == #entries) then
        reply[1], reply[2] = 'entries', id
        break
    end
end

return reply
