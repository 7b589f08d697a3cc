-- Counts what is left of the credentials user-FIRST ... user-LAST.
--
-- ARGV  prefix, first, last

local P, first, last = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
local left = 0

for i = first, last do
    local id = string.format('user-%08d', i)
    left = left
           + call('EXISTS', P .. ':apinizer:credential:bench:' .. id,
                  P .. ':apinizer:grants:bench:' .. id)
           + call('SISMEMBER', P .. ':apinizer:credentials:bench', id)
end

return left
