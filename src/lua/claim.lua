-- Claims pending undeployments that are due, by moving their due time on by a
-- lease: whoever claims them is the only one to attempt them until then.
--
-- KEYS[1]  P:audit
-- ARGV     prefix, lease (ms), how many of an environment; then pairs of an
--          environment and how to treat it: "skip" (claim none now) or "drain"
--          (it is back: claim those that wait for a later attempt too)
-- returns  for each environment with pending entries: name, URL (nil if it is
--          not registered) and an array of the claimed members

local P, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local treat, claims = {}, {}

-- the caller bounds what it reads
local room, bytes = 5000, 524288

local function escape(s)
    return (string.gsub(s, '[%%:]', {['%'] = '%25', [':'] = '%3A'}))
end

local function claim(pending, from, to, members)
    local count = math.min(most - #members, room)
    if count <= 0 then
        return
    end
    local due = call('ZRANGEBYSCORE', pending, from, to, 'LIMIT', 0, count)
    for _, member in ipairs(due) do
        if bytes <= 0 then
            return
        end
        call('ZADD', pending, now + lease, member)
        members[#members + 1] = member
        room, bytes = room - 1, bytes - #member
    end
end

for i = 4, #ARGV, 2 do
    treat[ARGV[i]] = ARGV[i + 1]
end

local names = call('SMEMBERS', P .. ':pending')
local shift = #names > 0 and clock[2] % #names or 0

-- from another one each time, so that each gets its turn
for i = 1, #names do
    if #claims >= 3000 then
        break
    end

    local name = names[(i + shift) % #names + 1]
    local pending = P .. ':pending:' .. escape(name)
    local url = call('HGET', P .. ':environments', name)
    local members = {}

    if treat[name] ~= 'skip' or not url then
        claim(pending, '-inf', now, members)
    end

    -- what is due after the lease of whoever claims now is claimed by nobody
    if treat[name] == 'drain' then
        claim(pending, '(' .. now + lease, '+inf', members)
    end

    if #members == 0 and call('EXISTS', pending) == 0 then
        call('SREM', P .. ':pending', name)
    else
        claims[#claims + 1] = name
        claims[#claims + 1] = url
        claims[#claims + 1] = members
    end
end

return claims
