-- Deploys a credential into an environment, in one step, and not over what is
-- newer there or was undeployed since: for deployers that are late.
--
--     redis-cli -u redis://10.0.0.5:6379 --eval conf-examples/deploy.lua \
--         {cred}:apinizer:credential:MyProject:api-user \
--         {cred}:apinizer:grants:MyProject:api-user \
--         {cred}:apinizer:credentials:MyProject \
--         {cred}:apinizer:tombstone:MyProject:api-user \
--         {cred}:apinizer:key: , \
--         MyProject:api-user api-user 2 alice SHA256 API_PROXY:orders
--
-- KEYS  credential, grants, index and tombstone, then what entries of keys begin
--       with; "%" and ":" in a scope or id are "%25" and "%3A" in these
-- ARGV  scope and id as in keys, the id as it is, revision, owner, the SHA-256s
--       of its keys with spaces between or "", and its grants
-- returns  "deployed", "undeployed" (at this revision or a later one) or "older"
--          (than the copy that is there)

local credential, grants, index, tombstone, entry = unpack(KEYS)
local names, id, revision, owner, keys = unpack(ARGV)

-- revisions may be larger than what a Lua number holds
local function newer(one, other)
    one = string.match(one or '', '^0*(%d+)$') or '0'
    other = string.match(other or '', '^0*(%d+)$') or '0'
    return #one > #other or (#one == #other and one > other)
end

local undeployed = redis.call('GET', tombstone)
local before = redis.call('HMGET', credential, 'revision', 'keys')

if undeployed and not newer(revision, undeployed) then
    return 'undeployed'
end
if newer(before[1], revision) then
    return 'older'
end

for hash in string.gmatch(before[2] or '', '%S+') do
    if redis.call('GET', entry .. hash) == names then
        redis.call('DEL', entry .. hash)
    end
end

redis.call('DEL', credential, grants)
redis.call('HSET', credential, 'owner', owner, 'revision', revision,
           'keys', keys)
for i = 6, #ARGV do
    redis.call('SADD', grants, ARGV[i])
end
redis.call('SADD', index, id)

-- the last thing: an entry whose credential is not there is never deleted
for hash in string.gmatch(keys, '%S+') do
    redis.call('SET', entry .. hash, names)
end

return 'deployed'
