-- What examples/luajit/gmpunch.lua promises beyond the demo. The argument is the path of that file.
local gmpunch = dofile(arg[1])
local IP = "127.0.0.1"

local function equal(a, b) if a ~= b then error(("%s is not %s"):format(tostring(a), tostring(b)), 2) end end

-- The call throws this result.
local function fails(result, ...)
    local ok, message = pcall(...)
    if ok or type(message) ~= "table" then error("no error of gmpunch: " .. tostring(message), 2) end
    if message.result ~= result then error("another error: " .. tostring(message), 2) end
    return message
end

local function events_until(host, client, last)
    local finish = os.time() + 15
    local all = {}
    while os.time() < finish do
        for _, object in ipairs { host, client } do
            for event in object:events(1) do all[event.type] = event end
        end
        if all[last] then return all[last], all end
    end
    error "the event did not come"
end

assert(not pcall(gmpunch.Client, { servr = IP }))
assert(not pcall(gmpunch.Host, { data = { "1", "2", "3", "4", "5", "6", "7", "8", "9" } }))
assert(not pcall(function() return gmpunch.NONSENSE end))
fails(gmpunch.ERR_CONFIG, gmpunch.Client, {})

local logged = {}
local host = gmpunch.Host {
    bind_address = IP, data = { "größe", [3] = "3" }, kick_ms = gmpunch.NEVER,
    log = function(_, item, text) logged[item] = text error "is lost" end,
}
local port = tonumber(host:local_address():match ":(%d+)$")
local in_use = fails(gmpunch.ERR_ADDRESS_IN_USE, gmpunch.Host, { bind_address = IP, bind_port = port, log = print })
assert(in_use.os_error ~= 0 and tostring(in_use):find("os error " .. in_use.os_error, 1, true))

local client = gmpunch.Client { server = IP, direct_only = true, direct_port = port, ask_data = true }
local data, all = events_until(host, client, gmpunch.EVENT_HOST_DATA)
local joined = all[gmpunch.EVENT_JOINED]
equal(table.concat(data.strings, "|"), "größe||3|||||")
collectgarbage()
equal(#host:peers(), 1)
equal(host:peers()[1], joined.peer)
equal(host:peer(joined.peer).address, joined.address)
equal(host:find_peer(joined.address), joined.peer)
equal(client:stage(), gmpunch.STAGE_CONNECTED)
equal(client:server(), host:local_address())
equal(host:stats().peers, 1)
equal(#host:waits(), 1)
equal(host:waits()[1].socket, host:socket())
equal(host:waits()[1].events, gmpunch.WAIT_READ)
assert(host:next_deadline_ms() < gmpunch.NEVER)
fails(gmpunch.ERR_PEER, host.peer, host, 12345)
fails(gmpunch.ERR_RESERVED, client.send, client, "\253")
client:send "a\0b"
equal(events_until(host, client, gmpunch.EVENT_DATA).data, "a\0b")
equal(host:send_all "all", 1)
equal(events_until(host, client, gmpunch.EVENT_DATA).data, "all")
host:set_data(8, "new")
host:set_data(8, nil)
host:commit_data()
fails(gmpunch.ERR_ARGUMENT, host.set_data, host, 9, "x")
for _ = 1, 1000 do client:poll() host:poll() end -- long enough for the compiler to take an interest
host:kick(joined.peer)
local left = events_until(host, client, gmpunch.EVENT_LEFT)
equal(left.name, "left")
equal(left.reason, gmpunch.REASON_KICKED)
equal(left.reason_text, "The peer was removed by the host.")
assert(logged[gmpunch.LOG_ITEM_PEER])

local master, lobby = gmpunch.Master { bind_address = IP, any_port = true }, gmpunch.Lobby { master = IP }
for _, opened in ipairs { host, client, master, lobby } do
    opened:close()
    opened:close()
    fails(gmpunch.ERR_ARGUMENT, opened.poll, opened)
    fails(gmpunch.ERR_ARGUMENT, opened.stats, opened)
    for event in opened:events() do error(event.name) end
end

equal(gmpunch.address "[2001:DB8:0::1]:7", "[2001:db8::1]:7")
equal(gmpunch.address("1.2.3.4", 5), "1.2.3.4:5")
fails(gmpunch.ERR_ADDRESS, gmpunch.address, "x")
