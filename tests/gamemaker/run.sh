#!/usr/bin/env bash
# The GameMaker extension. Usage: run.sh CHECK WORK_DIRECTORY
#   functions  gmpunch.yy has just the functions that the library exports, and is what generate.py makes
#   library    the library through ctypes, as GameMaker calls it, with sanitizers; and with a C program that looks for leaks
#   project    schema of the project, and all GML, by a parser of GML from npm
#   scripts    runs the GML in Node, with real sockets and the real library
#   package    build.sh: the libraries for each system, and the package
#   windows    what `package` built, in Wine
# Exit code: 0 passed, 1 failed, 77 skipped because a tool is missing.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/gamemaker
game=$root/examples/gamemaker
work=${2:?work directory}
mkdir -p "$work" && work=$(cd "$work" && pwd) || exit 1
npm=$work/../npm # shared by the checks that need it
export PYTHONDONTWRITEBYTECODE=1 # nothing is written to the source tree
cc=${CC:-cc}
flags="-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Werror"
library="$flags -shared -fPIC -fvisibility=hidden $game/gmpunch_gm.c"
failed=0

skip() { echo "SKIPPED: $*" && exit 77; }
need() { for tool in "$@"; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done; }

# check NAME COMMAND...: the command has to succeed.
check() {
    local name=$1
    shift
    if "$@"; then echo "passed: $name"; else failed=$((failed + 1)) && echo "FAILED: $name"; fi
}

need_node() { # PACKAGE...
    need node npm
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || skip "Node 20 or newer is needed, here is $(node --version)"
    local package missing=()
    for package in "$@"; do [ -d "$npm/node_modules/${package%@*}" ] || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] || npm install --silent --no-audit --no-fund --prefix "$npm" "${missing[@]}" >"$npm.log" 2>&1 ||
        skip "npm can't install ${missing[*]}: $(tail -n 3 "$npm.log")"
    cp "$here"/*.mjs "$npm/" # imports are looked for beside the file
}

names_in_yy() { grep -o '"externalName":"[^"]*"' "$game/extensions/gmpunch/gmpunch.yy" | cut -d'"' -f4 | sort; }

case $1 in
functions)
    need nm
    check "gmpunch.yy is what generate.py makes" "$game/generate.py" --check
    # shellcheck disable=SC2086 # several words
    check "compiles" $cc -O2 $library -o "$work/libgmpunch.so"
    nm -D --defined-only "$work/libgmpunch.so" | awk '$2 == "T" {print $3}' | sort >"$work/exported"
    names_in_yy >"$work/declared"
    check "exports just what gmpunch.yy declares" diff "$work/declared" "$work/exported"
    echo "$(wc -l <"$work/exported") functions"
    ;;
library)
    sanitize="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
    runtime=$($cc -print-file-name=libasan.so 2>/dev/null)
    # Python has no sanitizer in it, so gcc's is loaded before.
    # shellcheck disable=SC2086
    if [ -e "$runtime" ] && $cc $sanitize $library -o "$work/libgmpunch.so" 2>/dev/null; then
        preload=(env LD_PRELOAD="$runtime" ASAN_OPTIONS=detect_leaks=0)
    else
        echo "without sanitizers: this compiler can't have them in a library of Python"
        sanitize="" preload=()
        check "compiles" $cc -O2 $library -o "$work/libgmpunch.so"
    fi
    check "test_library.py" ${preload[@]+"${preload[@]}"} python3 "$here/test_library.py" "$work/libgmpunch.so"
    # shellcheck disable=SC2086
    check "driver.c compiles" $cc $flags $sanitize "$here/driver.c" -o "$work/driver" -ldl
    check "driver" "$work/driver" "$work/libgmpunch.so"
    ;;
project)
    need_node @bscotch/yy@2.7.0 @bscotch/gml-parser@1.17.2
    check "the project" node "$npm/check.mjs" "$game/gmpunch_demo.yyp"
    check "mistakes are found" env SELF_TEST=1 node "$npm/check.mjs" "$game/gmpunch_demo.yyp"
    ;;
scripts)
    need_node koffi@3.3.4
    # shellcheck disable=SC2086
    check "compiles" $cc -O2 $library -o "$work/libgmpunch.so"
    check "test_scripts.mjs" node "$npm/test_scripts.mjs" "$game" "$work/libgmpunch.so"
    ;;
package)
    check "build.sh" "$game/build.sh" "$work"
    check "the package" python3 "$here/test_package.py" "$work"
    for library in gmpunch.dll gmpunch_x64.dll libgmpunch.so libgmpunch.dylib; do
        [ "$failed" -ne 0 ] || [ -e "$work/gmpunch_demo/extensions/gmpunch/$library" ] || skip "build.sh could not build $library"
    done
    ;;
windows)
    built=$work/../package/gmpunch_demo/extensions/gmpunch
    need x86_64-w64-mingw32-gcc x86_64-w64-mingw32-objdump
    wine=$(PATH=$PATH:/usr/lib/wine type -P wine64 wine | head -n 1)
    [ -n "$wine" ] || skip "wine is not installed"
    names_in_yy >"$work/declared"
    for dll in gmpunch.dll gmpunch_x64.dll; do
        [ -e "$built/$dll" ] || skip "the check 'package' could not build $dll"
        x86_64-w64-mingw32-objdump -p "$built/$dll" | sed -n 's/^\t\[ *[0-9]*\] \(+base\[[ 0-9]*\] *[0-9a-f]* \)\{0,1\}\([a-z_]*\)$/\2/p' |
            sort -u >"$work/exported"
        check "$dll exports just what gmpunch.yy declares" diff "$work/declared" "$work/exported"
        check "$dll needs only what Windows has" test -z \
            "$(x86_64-w64-mingw32-objdump -p "$built/$dll" | sed -n 's/.*DLL Name: //p' | grep -viE '^(kernel32|msvcrt|ws2_32|api-ms-win-crt.*)\.dll$')"
    done
    # shellcheck disable=SC2086
    check "driver.c compiles" x86_64-w64-mingw32-gcc $flags "$here/driver.c" -o "$work/driver.exe"
    export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
    unset DISPLAY
    [ -f "$WINEPREFIX/system.reg" ] || "$wine" wineboot -u >/dev/null 2>&1
    check "driver in Wine" "$wine" "$work/driver.exe" "$(cd "$built" && pwd)/gmpunch_x64.dll"
    PATH=$PATH:/usr/lib/wine
    "$(type -P wineserver64 wineserver | head -n 1)" -k
    ;;
*) echo "run.sh: no check $1" && exit 1 ;;
esac
[ "$failed" -eq 0 ]
