-- Gives each of the credentials user-FIRST ... of the project "bench" a key; those
-- that do not exist are created.
--
-- ARGV  prefix, first, and the SHA-256 of each one's key

local P, first = ARGV[1], tonumber(ARGV[2])
local call = redis.call

for i = 3, #ARGV do
    local id = string.format('user-%08d', first + i - 3)
    call('HSET', P .. ':apinizer:credential:bench:' .. id, 'owner', 'alice',
         'keys', ARGV[i])
    call('SET', P .. ':apinizer:key:' .. ARGV[i], 'bench:' .. id)
end

return #ARGV - 2
