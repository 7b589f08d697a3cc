-- The same work as the module does for apinizer, in nginx + Lua: keep-alive
-- pools, one script call, environments in parallel threads, and the receipts
-- of several deletes in one call after their answers.  An environment is greeted
-- once, before its first undeployment.

local redis = require "nginx.redis"
local cjson = require "cjson"
local semaphore = require "ngx.semaphore"
local ffi = require "ffi"

ffi.cdef[[
unsigned char *SHA256(const unsigned char *d, size_t n, unsigned char *md);
int RAND_bytes(unsigned char *buf, int num);
]]

redis.add_commands("evalsha")

local _M = {}

local PREFIX = "{cred}"
local registry, scripts = nil, {}
local urls, greeted, receipts = {}, {}, {}
local wake = nil

-- arguments of a receipt, and how many unpack() takes
local RECEIPT, MOST = 8, 3000

local bytes = ffi.new("unsigned char[32]")
local hex = {}

for i = 0, 255 do
    hex[i] = string.format("%02x", i)
end


function _M.init(root, port)
    registry = { host = "127.0.0.1", port = port }

    for _, name in ipairs({ "delete", "undeploy", "acknowledge", "again",
                            "stream" })
    do
        local file = assert(io.open(root .. "/src/lua/" .. name .. ".lua"))
        local text = file:read("*a")
        file:close()

        local sha = ngx.sha1_bin(text):gsub(".", function (c)
            return hex[c:byte()]
        end)

        scripts[name] = { text = text, sha = sha }
    end
end


local function to_hex(n)
    local t = {}
    for i = 1, n do
        t[i] = hex[bytes[i - 1]]
    end
    return table.concat(t)
end


local function run(target, script, ...)
    local red = redis:new()
    red:set_timeout(2000)

    local ok, err = red:connect(target.host, target.port)
    if not ok then
        return nil, err
    end

    local res
    res, err = red:evalsha(script.sha, 1, ...)

    if not res and err and err:find("NOSCRIPT", 1, true) then
        res, err = red:eval(script.text, 1, ...)
    end

    if res then
        red:set_keepalive(60000, 256)
    else
        red:close()
    end

    return res, err
end


-- the receipts of all deletes that ended meanwhile, in one call

local function acknowledge(premature)
    while not premature and not ngx.worker.exiting() do
        if wake:wait(1) then
            local all = receipts
            receipts = {}

            local step = MOST - MOST % RECEIPT

            for i = 1, #all, step do
                local ok, err = run(registry, scripts.acknowledge,
                                    PREFIX .. ":audit", PREFIX, "1000", "60000",
                                    "100000",
                                    unpack(all, i, math.min(i + step - 1, #all)))
                if not ok then
                    ngx.log(ngx.ERR, "acknowledge: ", err)
                end
            end
        end
    end
end


function _M.init_worker()
    wake = semaphore.new()
    assert(ngx.timer.at(0, acknowledge))
end


local function parse(url)
    local target = urls[url]

    if not target then
        local host, port, prefix =
            url:match("^redis://([^:/]+):(%d+)%?prefix=(.+)$")
        target = { host = host, port = tonumber(port), prefix = prefix }
        urls[url] = target
    end

    return target
end


local function again(...)
    return run(registry, scripts.again, PREFIX .. ":positions", PREFIX, ...)
end


-- Compares what the environment remembers with what the registry knows, and has
-- it count calls, as the module does for each connection; here once for all of
-- this worker

local function greet(name, target)
    local known, err = again(name, "ask")
    if not known then
        return nil, err
    end

    ffi.C.RAND_bytes(bytes, 8)
    local connection = target.prefix .. ":connection:" .. to_hex(8)

    local stream = target.prefix .. ":undeployments"
    local is
    is, err = run(target, scripts.stream, stream, target.prefix, known[2],
                  connection, math.random(2 ^ 30))
    if not is then
        return nil, err
    end

    local done
    local what = is[1] == 0 and "lost" or known[3] == "more" and "more"
                 or "admit"

    repeat
        done, err = again(name, what, known[1], is[2], is[3])
        if not done then
            return nil, err
        end
        what, known[1] = done[1], done[2]
    until what ~= "more"

    if what ~= "admitted" then
        return nil, "the position has changed"
    end

    greeted[name] = { epoch = known[1], connection = connection }

    return greeted[name]
end


-- returns the state and, for acknowledge.lua, the progress

local function undeploy(name, url, member)
    local target = parse(url)
    local known, err = greeted[name]

    if not known then
        known, err = greet(name, target)
        if not known then
            return nil, err
        end
    end

    local reply
    reply, err = run(target, scripts.undeploy, target.prefix .. ":undeployments",
                     target.prefix, known.connection, member)
    if not reply then
        return nil, err
    end

    -- after the number of calls, the last id; then its gateways, of which there
    -- are none, and their lease
    return reply[4], known.epoch .. reply[1]:match(":.*")
end


-- what undeploy.lua said, as acknowledge.lua wants it

local function receipt(name, member, state, is, start)
    local k = #receipts

    receipts[k + 1] = name
    receipts[k + 2] = member
    receipts[k + 3] = state or "pending"
    receipts[k + 4] = state and "" or is
    receipts[k + 5] = math.floor((ngx.now() - start) * 1000)
    receipts[k + 6] = state and is or ""
    receipts[k + 7] = ""
    receipts[k + 8] = ""
end


local function answer(status, body, operation)
    ngx.status = status
    ngx.header["Content-Type"] = "application/json;charset=UTF-8"
    ngx.header["Content-Length"] = #body
    ngx.header["Cache-Control"] = "no-store"
    if operation then
        ngx.header["Cred-Operation"] = operation
    end
    ngx.print(body)
end


local refusals = {
    unauthorized = { 401, '{"error":"unauthorized_client",'
                          .. '"error_description":"Invalid token"}' },
    forbidden = { 403, '{"error":"forbidden","error_description":"You do not '
                       .. 'have permission to perform this action"}' },
    not_found = { 400, '{"error":"bad_request","error_description":"Credential '
                       .. 'was not found!"}' },
    scope_not_found = { 404, '{"error":"not_found"}' },
}


function _M.delete()
    local m = ngx.re.match(ngx.var.uri, "^/apiops/projects/([^/]+)"
                                        .. "/credentials/([^/]+)/?$", "jo")
    if not m or ngx.req.get_method() ~= "DELETE" then
        return ngx.exit(404)
    end

    local token = ngx.re.match(ngx.var.http_authorization or "",
                               "^bearer +(\\S+) *$", "joi")
    if not token then
        return answer(401, refusals.unauthorized[2])
    end

    ffi.C.RAND_bytes(bytes, 16)
    local operation = to_hex(16)

    ffi.C.SHA256(token[1], #token[1], bytes)
    local hash = to_hex(32)

    local reply, err = run(registry, scripts.delete, PREFIX .. ":audit", PREFIX,
                           "12000", "apinizer", "1", "0", "", "0",
                           ngx.now() * 1000 + 2000, "100000", operation, hash, "",
                           m[1], m[2], ngx.var.remote_addr, "", "", "all")
    if not reply then
        ngx.log(ngx.ERR, "delete: ", err)
        return answer(503, '{"error":"server_error"}')
    end

    local result, member, first, count = reply[2], reply[5], reply[6], reply[7]

    if result ~= "deleted" then
        local refusal = refusals[result] or { 503, "" }
        if refusal[1] == 401 then
            ngx.header["WWW-Authenticate"] = "Bearer"
        end
        return answer(refusal[1], refusal[2])
    end

    local threads, names = {}, {}

    for n = 1, count do
        local i = first + 4 * n - 3
        names[n] = reply[i]
        threads[n] = ngx.thread.spawn(undeploy, reply[i], reply[i + 1], member)
    end

    local results, pending = {}, 0
    local start = ngx.now()

    for n, thread in ipairs(threads) do
        local _, state, is = ngx.thread.wait(thread)

        receipt(names[n], member, state, is, start)

        if state then
            results[n] = { names[n],
                '{"environmentName":' .. cjson.encode(names[n])
                .. ',"success":true,"message":"Undeployed successfully"}' }
        else
            pending = pending + 1
            results[n] = { names[n],
                '{"environmentName":' .. cjson.encode(names[n])
                .. ',"success":false,"message":"Environment is unreachable, '
                .. 'undeployment will be retried"}' }
        end
    end

    if #threads > 0 then
        wake:post(1)
    end

    table.sort(results, function (a, b) return a[1] < b[1] end)

    for n, result in ipairs(results) do
        results[n] = result[2]
    end

    answer(200, '{"success":true,"deploymentResult":{"success":'
                .. (pending == 0 and "true" or "false") .. ',"message":"'
                .. (#threads == 0 and "No environment is registered"
                    or pending == 0 and "Undeployment completed successfully"
                    or "Undeployment is pending in " .. pending .. " of "
                       .. #threads .. " environments")
                .. '","environmentResults":[' .. table.concat(results, ",")
                .. ']}}', operation)
end


return _M
