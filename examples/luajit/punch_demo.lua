--[[ Master, host, client and a lobby list in one process, on real sockets. Prints what came back to the client.

    luajit punch_demo.lua

Builds the shared library with cc unless GMPUNCH_LIBRARY names one. ]]
local here = arg[0]:match("^(.*[/\\])") or "./"
package.path = here .. "?.lua;" .. package.path
local gmpunch = require "gmpunch"

local IP = "127.0.0.1"

if not os.getenv "GMPUNCH_LIBRARY" then
    local script = assert(io.popen("'" .. here .. "../shared_library.sh'"))
    gmpunch.load(assert(script:read "*l", "the shared library can't be built"))
    script:close()
end

local master = gmpunch.Master { bind_address = IP, any_port = true }
local address = master:local_address()
local host = gmpunch.Host { master = address, bind_address = IP, data = { "demo", "LuaJIT" } }
local lobby, client, echoed, listed

local function on_master(event)
    if event.type == gmpunch.EVENT_HOST_ADDED then
        lobby = gmpunch.Lobby { master = address, filter = { "demo" } }
        client = gmpunch.Client { master = address, server = IP, bind_address = IP }
    end
end

local function on_host(event)
    if event.type == gmpunch.EVENT_DATA then host:send(event.peer, event.data) end
end

local function on_lobby(event)
    if event.type == gmpunch.EVENT_LOBBY_ENTRY then
        print("lobby: " .. event.address .. " " .. event.strings[1] .. " " .. event.strings[2])
    elseif event.type == gmpunch.EVENT_LOBBY_DONE then
        listed = true
    elseif event.type == gmpunch.EVENT_FAILED then
        error(event.reason_text)
    end
end

local function on_client(event)
    if event.type == gmpunch.EVENT_CONNECTED then
        print("connected to " .. event.address .. " " .. gmpunch.how_name(event.how))
        client:send "hello from LuaJIT"
    elseif event.type == gmpunch.EVENT_DATA then
        echoed = event.data
    elseif event.type == gmpunch.EVENT_FAILED or event.type == gmpunch.EVENT_LOST then
        error(event.reason_text)
    end
end

local finish = os.time() + 15
while not (echoed and listed) do
    -- Each waits a moment in turn: one thread for all. A game waits for none, once per frame.
    for event in master:events(1) do on_master(event) end
    for event in host:events(1) do on_host(event) end
    for event in lobby and lobby:events(1) or function() end do on_lobby(event) end
    for event in client and client:events(1) or function() end do on_client(event) end
    assert(os.time() <= finish, "the demo did not come to its end")
end
print("echo: " .. echoed)

client:close()
lobby:close()
host:close()
master:close()
