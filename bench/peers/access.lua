-- The same check as cred_access makes, in nginx + Lua: answers in a shared dict,
-- keys as their SHA-256, keep-alive connections, and one lookup for all that wait
-- for the same key.  What it cannot know is that a credential was deleted before
-- its answer has become old.

local ffi = require "ffi"
local redis = require "nginx.redis"

-- as resty.sha256 has it: quicker than SHA256(), which looks for the algorithm
-- each time
ffi.cdef[[
typedef struct {
    unsigned int h[8], Nl, Nh, data[16], num, md_len;
} cred_sha256_t;

int SHA256_Init(cred_sha256_t *c);
int SHA256_Update(cred_sha256_t *c, const void *data, size_t len);
int SHA256_Final(unsigned char *md, cred_sha256_t *c);
]]

local C, ffi_string = ffi.C, ffi.string
local ngx, var, null = ngx, ngx.var, ngx.null
local byte, find, format, gsub = string.byte, string.find, string.format,
                                 string.gsub
local lower, sub = string.lower, string.sub
local min = math.min

local _M = {}

local LONGEST, MISSING, PATIENCE = 4096, 1, 2

local answers, locks = ngx.shared.access, ngx.shared.access_locks
local environment, valid = nil, nil

local state, bytes = ffi.new("cred_sha256_t"), ffi.new("unsigned char[32]")


function _M.init(port, prefix, seconds)
    environment = { port = port, prefix = prefix }
    valid = seconds
end


local function sha256(s)
    C.SHA256_Init(state)
    C.SHA256_Update(state, s, #s)
    C.SHA256_Final(bytes, state)
    return ffi_string(bytes, 32)
end


local function hex(s)
    return (gsub(s, ".", function (c) return format("%02x", byte(c)) end))
end


local function escape(s)
    return (gsub(s, "[%%:]", { ["%"] = "%25", [":"] = "%3A" }))
end


-- the one key that the request shows

local function shown()
    local header, own = var.http_authorization, var.http_x_api_key

    if header then
        if own then
            return nil
        end

        if lower(sub(header, 1, 7)) == "bearer " then
            return sub(header, 8)
        end

        if lower(sub(header, 1, 6)) == "basic " then
            return ngx.decode_base64(sub(header, 7))
        end

        return nil
    end

    if own and type(ngx.req.get_headers()["x-api-key"]) == "string" then
        return own
    end
end


-- "" or the credential of a key, with "+" in front if it holds the grant; and how
-- long that may be believed

local function ask(red, api, hash, grant)
    local own = environment.prefix .. ":" .. api

    local owner, err = red:get(own .. ":key:" .. hash)
    if not owner or owner == null then
        return owner and "", err or MISSING
    end

    local is
    is, err = red:hmget(own .. ":credential:" .. owner, "keys", "enabled",
                        "expires_at")
    if not is then
        return nil, err
    end

    local left = is[3] == null and valid or tonumber(is[3]) - ngx.now()

    if is[1] == null or not find(is[1], hash, 1, true) or is[2] == "0"
       or left <= 0
    then
        return "", MISSING
    end

    local held = 1

    if grant then
        held, err = red:sismember(own .. ":grants:" .. owner, grant)
        if not held then
            return nil, err
        end
    end

    return (held == 1 and "+" or "-") .. owner, min(left, valid)
end


local function look_up(api, hash, grant)
    local red = redis:new()
    red:set_timeout(2000)

    local ok, err = red:connect("127.0.0.1", environment.port)
    if not ok then
        return nil, err
    end

    local found
    found, err = ask(red, api, hex(hash), grant)

    if found then
        red:set_keepalive(60000, 256)
    else
        red:close()
    end

    return found, err
end


-- others with the same key wait as resty.lock does

local function fetch(name, api, hash, grant)
    local pause, waited = 0.001, 0

    while not locks:add(name, true, 2 * PATIENCE) do
        if waited > PATIENCE then
            return nil, "timeout"
        end

        ngx.sleep(pause)
        waited = waited + pause
        pause = min(2 * pause, 0.5)

        local found = answers:get(name)
        if found then
            return found
        end
    end

    local found, err = answers:get(name)

    if not found then
        found, err = look_up(api, hash, grant)
        if found then
            answers:set(name, found, err)
        end
    end

    locks:delete(name)

    return found, err
end


local function unauthorized(api)
    ngx.header["WWW-Authenticate"] = 'Bearer realm="' .. api .. '"'
    return ngx.exit(401)
end


-- returns where the answer came from, for a header

function _M.check(api, scope, grant)
    local key = shown()

    if not key or key == "" or #key > LONGEST then
        return unauthorized(api)
    end

    local hash = sha256(key)
    local name = grant and hash .. grant or hash
    local found, cache = answers:get(name), "HIT"

    if not found then
        local err
        cache = "MISS"
        found, err = fetch(name, api, hash, grant)

        if not found then
            ngx.log(ngx.ERR, "access: ", err)
            ngx.header["Retry-After"] = 1
            return ngx.exit(503)
        end
    end

    if found == "" then
        return unauthorized(api)
    end

    if byte(found) ~= 43 then
        return ngx.exit(403)
    end

    if scope then
        scope = escape(scope) .. ":"
        if sub(found, 2, 1 + #scope) ~= scope then
            return ngx.exit(403)
        end
    end

    return cache
end


return _M
