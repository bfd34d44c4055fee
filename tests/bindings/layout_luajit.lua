-- Prints what examples/luajit/gmpunch.lua declares, as layout.py wants it. The argument is the path of that file. LuaJIT can't
-- list declarations, so the names come from stdin, one "struct", "field", "constant" or "function" with its name a line.
local ffi = require "ffi"
local gmpunch = dofile(arg[1])
gmpunch.load()
local library = ffi.load(os.getenv "GMPUNCH_LIBRARY")

for line in io.lines() do
    local what, name = line:match "^(%S+) (%S+)$"
    if what == "struct" then
        print(line, ffi.sizeof(name))
    elseif what == "field" then
        local struct, field = name:match "^(.*)%.(.*)$"
        print(line, ffi.offsetof(struct, field))
    elseif what == "constant" then
        print(line, gmpunch[name:gsub("^GMPUNCH_", "")])
    else
        assert(library[name] ~= nil) -- its types are those of the header's text
        print(line)
    end
end
