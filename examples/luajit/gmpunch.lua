--[[ gmpunch for LuaJIT: UDP hole punching with the shared library of gmpunch.h.

    local gmpunch = require "gmpunch"

    local client = gmpunch.Client { master = "203.0.113.9", server = "198.51.100.7" }
    while true do                                       -- once per frame
        for event in client:events() do                 -- never blocks
            if event.type == gmpunch.EVENT_CONNECTED then client:send("hello")
            elseif event.type == gmpunch.EVENT_DATA then handle(event.data)
            elseif event.type == gmpunch.EVENT_FAILED then print(event.reason_text) end
        end
    end

Host, Master and Lobby are the same. The declarations are those of gmpunch.h itself, which is read when this module is loaded
(no C compiler is needed), so each config field and constant is there under its name: GMPUNCH_EVENT_DATA is
gmpunch.EVENT_DATA. What differs from C:

  * Objects have methods for the functions of their kind: client:send is gmpunch_client_send. close() may be called twice,
    every other call on a closed object is an error. An object that is forgotten is closed by the garbage collector; one with
    a log function should not be forgotten: such a function is a scarce callback of LuaJIT.
  * A negative result is thrown as a table with .result, .os_error and a text (tostring).
  * Events are copies and stay valid; addresses are texts ("1.2.3.4:5"), or nil.
  * Durations are milliseconds. Flags may be booleans. data and filter are lists of strings.

The library is loaded when it is first needed: from load(path), else $GMPUNCH_LIBRARY, else where the system has it. ]]
local ffi = require "ffi"

local gmpunch = {}

-- ---- the declarations of gmpunch.h

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"

local function read_header()
    for _, path in ipairs { here .. "gmpunch.h", here .. "../../gmpunch.h" } do
        local file = io.open(path, "rb")
        if file then
            local text = file:read("*a"):gsub("\r", "")
            file:close()
            return text
        end
    end
    error("gmpunch.h is neither beside gmpunch.lua nor two directories above")
end

-- What is between extern "C" { and its }, without comments, directives and macros: what ffi.cdef understands.
local function declare(header)
    local text = header:sub(1, header:find("#endif /* GMPUNCH_INCLUDED */", 1, true) - 1):gsub("/%*.-%*/", " ")
    local macros = {}
    for name, value in text:gmatch("\n#define GMPUNCH_([%w_]+) (%d%w*)") do macros[name] = tonumber((value:gsub("u$", ""))) end
    local _, start = text:find('extern "C" {', 1, true)
    text = text:sub(start + 1, text:find("#if defined(__cplusplus)\n}", start, true) - 1)
    ffi.cdef((text:gsub("\n#[^\n]*", ""):gsub("GMPUNCH_API ", ""):gsub("%[GMPUNCH_([%w_]+)%]", function(name)
        return "[" .. macros[name] .. "]"
    end)))
    for name, value in pairs(macros) do
        ffi.cdef(("static const uint32_t GMPUNCH_%s = %.0f;"):format(name, value))
    end
end

declare(read_header())

-- GMPUNCH_X is gmpunch.X, as a number.
setmetatable(gmpunch, { __index = function(_, name) return tonumber(ffi.C["GMPUNCH_" .. name]) end })

-- ---- the library

local loaded

--- Loads the shared library: from this path, else $GMPUNCH_LIBRARY, else where the system has it.
function gmpunch.load(path) loaded = ffi.load(path or os.getenv "GMPUNCH_LIBRARY" or "gmpunch") end

local c = setmetatable({}, {
    __index = function(_, name)
        if not loaded then gmpunch.load() end
        return loaded["gmpunch_" .. name]
    end,
})

function gmpunch.version() return ffi.string(c.version_string()) end

local function text_function(name)
    return function(number) return ffi.string(c[name](number)) end
end

gmpunch.strerror = text_function "strerror"
gmpunch.error_name = text_function "error_name"
gmpunch.event_name = text_function "event_name"
gmpunch.reason_name = text_function "reason_name"
gmpunch.reason_text = text_function "reason_text"
gmpunch.stage_name = text_function "stage_name"
gmpunch.how_name = text_function "how_name"

local Error = {}
Error.__index = Error
function Error:__tostring()
    return "gmpunch: " .. gmpunch.strerror(self.result) .. (self.os_error ~= 0 and " (os error " .. self.os_error .. ")" or "")
end

local function check(result, os_error)
    if result < 0 then error(setmetatable({ result = tonumber(result), os_error = os_error or 0 }, Error), 0) end
    return result
end

-- ---- addresses and events

local address_text = ffi.new("char[?]", gmpunch.ADDRESS_TEXT_SIZE)

local function format_address(address)
    if address.family == 0 then return nil end
    return ffi.string(address_text, check(c.address_format(address, address_text, gmpunch.ADDRESS_TEXT_SIZE)))
end

local function parse_address(text, default_port)
    local address = ffi.new "gmpunch_address"
    check(c.address_parse(text, default_port or 0, address))
    return address
end

--- The usual form of an address. Throws for what is none.
function gmpunch.address(text, default_port) return format_address(parse_address(text, default_port)) end

local with_strings = { [gmpunch.EVENT_HOST_DATA] = true, [gmpunch.EVENT_LOBBY_ENTRY] = true }

-- A copy; what an event does not name is 0, nil or empty.
local function copy_event(event)
    local strings = {}
    for number = 1, with_strings[event.type] and gmpunch.DATA_STRINGS or 0 do
        strings[number] = ffi.string(c.event_string(event, number))
    end
    return {
        type = event.type, reason = event.reason, cause = event.cause, stage = event.stage, how = event.how,
        name = gmpunch.event_name(event.type), reason_text = gmpunch.reason_text(event.reason),
        peer = event.peer, address = format_address(event.address), other = format_address(event.other),
        elapsed_ms = event.elapsed_ms, announces_sent = event.announces_sent, knocks_sent = event.knocks_sent,
        knocks_heard = event.knocks_heard, ignored = event.ignored, os_error = event.os_error,
        socket_index = event.socket_index, data = event.len > 0 and ffi.string(event.data, event.len) or "",
        created = tonumber(event.created), count = event.count, strings = strings,
    }
end

-- ---- client, host, lobby, master

local Object = {}

-- Calls the function of this kind and throws a negative result. Never compiled: a log function may be called back, which
-- compiled code can't.
function Object:call(name, ...)
    local result = c[self.kind .. "_" .. name](self.handle, ...)
    if result < 0 then check(result, self.handle and c[self.kind .. "_os_error"](self.handle)) end
    return result
end
jit.off(Object.call)

--- Does all that is due. Returns an event, after waiting for one for at most timeout_ms (default 0), or nil.
function Object:poll(timeout_ms)
    if self:call("poll", self.event, timeout_ms or 0) > 0 then return copy_event(self.event) end
end

--- Iterates over all events that are there, after waiting for the first for at most timeout_ms (default 0).
function Object:events(timeout_ms)
    return function()
        local event = self.handle and self:poll(timeout_ms)
        timeout_ms = 0
        return event or nil
    end
end

--- What to wait on: a list of { socket =, events = }, with WAIT_READ and WAIT_WRITE; it may change with each poll.
function Object:waits()
    local count = self:call("waits", nil, 0)
    local waits = ffi.new("gmpunch_wait[?]", count)
    self:call("waits", waits, count)
    local list = {}
    for i = 1, count do list[i] = { socket = tonumber(waits[i - 1].socket), events = waits[i - 1].events } end
    return list
end

--- In how many milliseconds poll is due at the latest, up to NEVER.
function Object:next_deadline_ms()
    local deadline, now = c[self.kind .. "_next_deadline"](self.handle), c.now()
    return deadline <= now and 0 or math.min(tonumber(deadline - now), gmpunch.NEVER)
end

--- The counters, a struct of C.
function Object:stats()
    local stats = ffi.new("gmpunch_" .. self.kind .. "_stats")
    stats.struct_size = ffi.sizeof(stats)
    self:call("get_stats", stats)
    return stats
end

function Object:close()
    if not self.handle then return end
    c[self.kind .. "_close"](ffi.gc(self.handle, nil))
    self.handle = nil
    if self.log then self.log:free() end
end
jit.off(Object.close)

--- For EVENT_RESOLVE; may block. Not of a master.
function Object:resolve() self:call "resolve" end

--- Of a client's or host's UDP socket, or of a master's bind number `index` (from 0).
function Object:local_address(index)
    local address = ffi.new "gmpunch_address"
    if self.kind == "master" then self:call("local_address", index or 0, address) else self:call("local_address", address) end
    return format_address(address)
end

--- The UDP socket of a client or host.
function Object:socket() return tonumber(c[self.kind .. "_socket"](self.handle)) end

-- Fills a config from a table; a field that C does not have is an error.
local function configure(config, fields, log)
    config.struct_size = ffi.sizeof(config)
    for name, value in pairs(fields) do
        if name == "log" then
            config.log = log
        elseif type(value) == "table" then
            for number, text in pairs(value) do
                assert(number >= 1 and number <= gmpunch.DATA_STRINGS, "there are eight strings")
                config[name][number - 1] = text
            end
        elseif type(value) == "boolean" then
            config[name] = value and 1 or 0
        else
            config[name] = value
        end
    end
end

-- The function that opens a `kind`, and its methods.
local function class(kind)
    local methods = setmetatable({ kind = kind }, { __index = Object })
    local meta = { __index = methods }
    local function open(fields)
        local config = ffi.new("gmpunch_" .. kind .. "_config")
        local handle, os_error = ffi.new("gmpunch_" .. kind .. " *[1]"), ffi.new "int32_t[1]"
        -- An error can't pass through C: one in the log function is lost.
        local log = fields.log and ffi.cast("gmpunch_log_function", function(_, level, item, text)
            pcall(fields.log, level, item, ffi.string(text))
        end)
        configure(config, fields, log)
        config.os_error = os_error
        local result = c[kind .. "_open"](config, handle)
        if result < 0 and log then log:free() end
        check(result, os_error[0])
        local owned = ffi.gc(handle[0], c[kind .. "_close"])
        return setmetatable({ handle = owned, event = ffi.new "gmpunch_event", log = log }, meta)
    end
    jit.off(open)
    return open, methods
end

local Client, Host
gmpunch.Client, Client = class "client"
gmpunch.Host, Host = class "host"
gmpunch.Lobby = class "lobby"
gmpunch.Master = class "master"

function Client:send(data) self:call("send", data, #data) end

--- Asks for the host's data strings: EVENT_HOST_DATA.
function Client:request_data() self:call("request_data", c.now()) end

--- STAGE_...
function Client:stage() return self:call "stage" end

--- The connected host's address.
function Client:server()
    local address = ffi.new "gmpunch_address"
    self:call("server", address, nil)
    return format_address(address)
end

function Host:send(peer, data) self:call("send", peer, data, #data) end

--- Sends to each connected peer; returns to how many it went.
function Host:send_all(data) return self:call("send_all", data, #data) end

--- The ids of the connected peers.
function Host:peers()
    local count = self:call("peers", nil, 0)
    local ids = ffi.new("uint32_t[?]", count)
    self:call("peers", ids, count)
    local list = {}
    for i = 1, count do list[i] = ids[i - 1] end
    return list
end

function Host:peer(peer)
    local info = ffi.new "gmpunch_peer_info"
    info.struct_size = ffi.sizeof(info)
    self:call("peer_info", peer, info)
    return {
        id = info.peer, address = format_address(info.address), how = info.how, answers = info.answers ~= 0,
        connected_ms = info.connected_ms, silent_ms = info.silent_ms, confirmed = info.confirmed ~= 0,
    }
end

--- The id of the peer with this address, 0 if there is none.
function Host:find_peer(address) return c.host_find_peer(self.handle, parse_address(address)) end

function Host:kick(peer) self:call("kick", c.now(), peer) end

--- Changes data string 1 to 8; the master gets it with commit_data.
function Host:set_data(number, text) self:call("set_data", number, text) end

function Host:commit_data() self:call("commit_data", c.now()) end

return gmpunch
