-- Looks for operations, and makes the write that a WAIT behind it on the same
-- connection covers: one without a write says nothing of those of others.
--
-- KEYS[1]  P:fence
-- ARGV     prefix, and the ids of operations
-- returns  for each operation 1 if this Redis has it, else 0: a connection may
--          lead to another server than the one that deleted

local has = {}

for i = 2, #ARGV do
    has[i - 1] = redis.call('EXISTS', ARGV[1] .. ':operation:' .. ARGV[i])
end

redis.call('SET', KEYS[1], ARGV[#ARGV])

return has
