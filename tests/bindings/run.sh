#!/usr/bin/env bash
# The bindings in examples/: their demos and what they promise, run with the real library, and their declarations compared with
# C. Usage: run.sh python|node|luajit|layout [WORK_DIRECTORY]
# Exit code: 0 passed, 1 failed, 77 skipped because a tool is missing.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/bindings
work=${2:-${TMPDIR:-/tmp}/gmpunch-bindings-$$}
count=0
failed=0
skipped=""
export XDG_CACHE_HOME=$work/cache PYTHONDONTWRITEBYTECODE=1 # nothing is written to the source tree
unset GMPUNCH_LIBRARY

have() { command -v "$1" >/dev/null; }

skip() { echo "SKIPPED: $*" && skipped=yes; }

# check NAME COMMAND...: the command has to succeed. Its output, kept in $work/output, is shown if it does not.
check() {
    local name=$1
    shift
    count=$((count + 1))
    if ! "$@" >"$work/output" 2>&1; then
        failed=$((failed + 1))
        printf 'FAILED: %s\n  %s\n' "$name" "$*"
        cat "$work/output"
        return 1
    fi
}

# demo LANGUAGE COMMAND...: lists the host, joins it and prints the echoed text.
demo() {
    local language=$1
    shift
    check "demo" "$@" || return
    cp "$work/output" "$work/demo"
    check "demo: the list" grep -qx "lobby: 127\.0\.0\.1 demo $language" "$work/demo"
    check "demo: the echo" grep -qx "echo: hello from $language" "$work/demo"
}

library() { GMPUNCH_LIBRARY=$("$root/examples/shared_library.sh") && export GMPUNCH_LIBRARY; }

test_python() {
    demo Python python3 "$root/examples/python/punch_demo.py"
    library && check "binding" python3 "$here/test_python.py"
}

# node_modules belongs beside the sources, so these are copied.
npm_install() {
    have node && have npm || { skip "node and npm are not installed" && return 1; }
    mkdir -p "$work/examples"
    cp "$root/gmpunch.h" "$work"
    cp -R "$root/examples/shared_library.sh" "$root/examples/node" "$work/examples"
    (cd "$work/examples/node" && npm install --ignore-scripts --no-audit --no-fund) >"$work/npm.log" 2>&1 && return
    if grep -qE 'EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|ENETUNREACH' "$work/npm.log"; then
        skip "npm can't reach its registry for koffi"
    else
        check "npm install" show_failure "$work/npm.log"
    fi
    return 1
}

show_failure() { cat "$1" && return 1; }

test_node() {
    npm_install || return
    demo Node.js node "$work/examples/node/punch_demo.mjs"
    library && check "binding" node "$here/test_node.mjs" "$work/examples/node/gmpunch.mjs"
}

test_luajit() {
    have luajit || { skip "luajit is not installed" && return; }
    demo LuaJIT luajit "$root/examples/luajit/punch_demo.lua"
    library && check "binding" luajit "$here/test_luajit.lua" "$root/examples/luajit/gmpunch.lua"
}

test_layout() {
    library || { check "shared library" false && return; }
    layout ctypes python3 "$here/layout_ctypes.py"
    npm_install && layout koffi node "$here/layout_koffi.mjs" "$work/examples/node/gmpunch.mjs"
    if have luajit; then
        layout luajit luajit "$here/layout_luajit.lua" "$root/examples/luajit/gmpunch.lua"
    else
        skip "luajit is not installed"
    fi
}

layout() {
    check "$1" python3 "$here/layout.py" "$work/layout-$1" "$@" && cat "$work/output"
}

rm -rf "$work"
mkdir -p "$work"
case ${1:-} in
python | node | luajit | layout) "test_$1" ;;
*) echo "Usage: $0 python|node|luajit|layout [WORK_DIRECTORY]" && exit 1 ;;
esac
[ -n "${2:-}" ] || rm -rf "$work"
echo "$1: $count checks, $failed failed"
[ "$failed" -eq 0 ] || exit 1
[ -z "$skipped" ] || exit 77
[ "$count" -gt 0 ]
