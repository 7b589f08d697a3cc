-- Creates credentials user-FIRST ... user-LAST of the project "bench", each
-- with two grants, as their registration or deployment would have left them.
--
-- ARGV  prefix, first, last

local P, first, last = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call

for i = first, last do
    local id = string.format('user-%08d', i)
    call('HSET', P .. ':apinizer:credential:bench:' .. id, 'owner', 'alice',
         'revision', '1', 'email', id .. '@example.com')
    call('SADD', P .. ':apinizer:grants:bench:' .. id, 'API_PROXY:orders',
         'API_PROXY_GROUP:partners')
    call('SADD', P .. ':apinizer:credentials:bench', id)
end

return last - first + 1
