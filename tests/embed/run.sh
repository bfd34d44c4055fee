#!/usr/bin/env bash
# How the library is embedded in other projects. Usage: run.sh CHECK [WORK_DIRECTORY]
# Exit code: 0 passed, 1 failed, 77 skipped because a tool is missing.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/embed
work=${2:-${TMPDIR:-/tmp}/gmpunch-embed-$$}
jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
cc=${CC:-cc}
cxx=${CXX:-c++}
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Werror"
count=0
failed=0

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "SKIPPED: $tool is not installed"; exit 77; }
    done
}

# check NAME COMMAND...: the command has to succeed. Its output is shown if it does not.
check() {
    local name=$1 output
    shift
    count=$((count + 1))
    if ! output=$("$@" 2>&1); then
        failed=$((failed + 1))
        printf 'FAILED: %s\n  %s\n%s\n' "$name" "$*" "$output"
    fi
}

# empty NAME TEXT: there has to be no text.
empty() {
    count=$((count + 1))
    if [ -n "$2" ]; then
        failed=$((failed + 1))
        printf 'FAILED: %s:\n%s\n' "$1" "$2"
    fi
}

# each_line FILE: every line is a command that has to succeed, in parallel.
each_line() {
    count=$((count + $(wc -l <"$1")))
    # shellcheck disable=SC2016 # expanded by sh
    tr '\n' '\0' <"$1" | xargs -0 -n 1 -P "$jobs" sh -c \
        'output=$(sh -c "$0" 2>&1) || printf "FAILED: %s\n%s\n" "$0" "$output"' >"$work/failures"
    cat "$work/failures"
    failed=$((failed + $(grep -c '^FAILED: ' "$work/failures")))
}

# ---- the headers alone, in each language, with each switch

test_headers() { # C compiler, C++ compiler
    need "$1" "$2"
    local all="-DGMPUNCH_NO_SOCKETS -DGMPUNCH_NO_MASTER -DGMPUNCH_NO_STDLIB -DGMPUNCH_NO_STDIO"
    local implement=-DGMPUNCH_IMPLEMENTATION no_extras="-fno-exceptions -fno-rtti"
    local standard switch
    echo '#include "gmpunch.h"' >"$work/h.c"
    echo '#include "gmpunch.hpp"' >"$work/hpp.cpp"
    {
        for standard in c99 c11 c17 gnu99 gnu11 gnu17; do
            echo "$1 -x c -std=$standard h.c"
            echo "$1 -x c -std=$standard $implement h.c"
        done
        for standard in c++11 c++14 c++17 c++20 gnu++11 gnu++14 gnu++17 gnu++20; do
            echo "$2 -x c++ -std=$standard h.c"
            echo "$2 -x c++ -std=$standard $implement h.c"
            echo "$2 -std=$standard hpp.cpp"
            echo "$2 -std=$standard $no_extras hpp.cpp"
        done
        for switch in -O2 "-O3 -DNDEBUG"; do # some warnings come only with them
            echo "$1 -x c -std=c99 $switch $implement h.c"
            echo "$2 -std=c++17 $switch $implement hpp.cpp"
        done

        for switch in -DGMPUNCH_NO_SOCKETS -DGMPUNCH_NO_MASTER -DGMPUNCH_NO_STDLIB -DGMPUNCH_NO_STDIO -DGMPUNCH_POLL_ONLY \
            -DGMPUNCH_DLL -DNDEBUG "'-DGMPUNCH_ASSERT(x)=((void)(x))'" "-DGMPUNCH_NO_SOCKETS -DGMPUNCH_NO_MASTER" "$all"; do
            for standard in c99 c17; do
                echo "$1 -x c -std=$standard $switch h.c"
                echo "$1 -x c -std=$standard $implement $switch h.c"
            done
            for standard in c++11 c++20; do
                echo "$2 -x c++ -std=$standard $switch h.c"
                echo "$2 -std=$standard $no_extras $switch hpp.cpp"
                echo "$2 -std=$standard $implement $switch hpp.cpp"
            done
        done

        # Static functions need their bodies.
        for switch in -DGMPUNCH_STATIC "-DGMPUNCH_STATIC $all"; do
            for standard in c99 c17; do echo "$1 -x c -std=$standard $implement $switch h.c"; done
            for standard in c++11 c++20; do echo "$2 -std=$standard $implement $switch hpp.cpp"; done
        done
    } | sed "s|\$| $warnings -I'$root' -S -o /dev/null|" >"$work/matrix"
    cd "$work" && each_line matrix
}

# ---- two translation units in one program, C and C++ mixed

test_units() {
    local main other implementation
    for main in c c++; do
        for other in c c++; do
            for implementation in main other both_static; do
                check "main.$main other.$other implementation=$implementation" link_units "$main" "$other" "$implementation"
            done
        done
    done
    other_flags=-DCONSUMER_HPP
    for implementation in main other both_static; do
        check "gmpunch.hpp implementation=$implementation" link_units c++ c++ "$implementation"
    done
    printf '#include "gmpunch.h"\n#define GMPUNCH_IMPLEMENTATION\n#include "gmpunch.h"\n#include "gmpunch.h"\n%s\n' \
        'int main(void) { return gmpunch_version() != GMPUNCH_VERSION; }' >"$work/again.c"
    check "implementation at the second of three includes" "$cc" -I"$root" "$work/again.c" -o "$work/again"
    check "implementation at the second of three includes, run" "$work/again"
}

other_flags=
link_units() { # language of main, language of other, where the implementation is
    local main_flags="-DCONSUMER_OTHER $other_flags"
    local flags=$other_flags
    case $3 in
    main) main_flags+=" -DGMPUNCH_IMPLEMENTATION" ;;
    other) flags+=" -DGMPUNCH_IMPLEMENTATION" ;;
    both_static)
        main_flags+=" -DGMPUNCH_IMPLEMENTATION -DGMPUNCH_STATIC"
        flags+=" -DGMPUNCH_IMPLEMENTATION -DGMPUNCH_STATIC"
        ;;
    esac
    # shellcheck disable=SC2086 # flags are several words
    compile "$1" $main_flags "$here/consumer.c" -c -o "$work/main.o" &&
        compile "$2" $flags "$here/other.c" -c -o "$work/other.o" &&
        "$cxx" "$work/main.o" "$work/other.o" -o "$work/units" && "$work/units"
}

compile() { # language, arguments
    local language=$1
    shift
    if [ "$language" = c ]; then "$cc" -x c -I"$root" "$@"; else "$cxx" -x c++ -I"$root" "$@"; fi
}

# ---- what the header and the object file bring into a program

test_hygiene() {
    need python3 nm
    printf '#include <stddef.h>\n#include <stdint.h>\n' >"$work/base.c"
    cp "$work/base.c" "$work/with.c"
    echo '#include "gmpunch.h"' >>"$work/with.c"
    local language file new
    for language in c c++; do
        for file in base with; do
            compile "$language" -dM -E "$work/$file.c" | sed 's/^#define \([A-Za-z0-9_]*\).*/\1/' | sort >"$work/$file.macros"
            compile "$language" -M "$work/$file.c" | grep -o '[^ ]*\.h' | sort -u >"$work/$file.headers"
        done
        new=$(comm -13 "$work/base.macros" "$work/with.macros")
        check "$language: the header was really read" grep -q '^GMPUNCH_VERSION$' "$work/with.macros"
        empty "$language: macros without the prefix GMPUNCH_" "$(grep -v '^GMPUNCH_' <<<"$new")"
        empty "$language: other headers" "$(comm -13 "$work/base.headers" "$work/with.headers" | grep -v '/gmpunch\.h$')"
        compile "$language" -E "$work/with.c" >"$work/with.i"
        check "$language: identifiers" python3 "$here/identifiers.py" "$work/with.i"
    done

    # The C library and sockets; what compilers call on their own: memcpy and the like, stack protector, GOT.
    local memory='mem(chr|cmp|cpy|move|set)|str(chr|cmp|cspn|len|ncmp)|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_'
    local stdlib='malloc|free' stdio='stderr|f?printf|fputs|fputc|fwrite|v?snprintf'
    local sockets='socket|bind|connect|listen|accept4?|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg|shutdown|close'
    sockets+='|getsockopt|setsockopt|getsockname|getpeername|getaddrinfo|freeaddrinfo|fcntl|ioctl|__errno_location|clock_gettime'
    sockets+='|poll|nanosleep|epoll_(create1|ctl|wait)|getrandom|open|read|if_nametoindex'
    undefined "" "$memory|$stdlib|$stdio|$sockets"
    undefined -DGMPUNCH_NO_STDIO "$memory|$stdlib|$sockets"
    undefined "-DGMPUNCH_NO_STDIO -DGMPUNCH_NO_STDLIB" "$memory|$sockets"
    undefined "-DGMPUNCH_NO_SOCKETS -DGMPUNCH_NO_STDIO -DGMPUNCH_NO_STDLIB" "$memory"
    undefined -DGMPUNCH_NO_SOCKETS "$memory|$stdlib|$stdio"
}

undefined() { # switches, pattern of the symbols that may be undefined
    local symbols # without -fPIE, which counts constant tables of pointers as writable
    # shellcheck disable=SC2086 # switches are several words
    check "compiles with $1" compile c -O1 -fno-pic -fno-pie -DGMPUNCH_IMPLEMENTATION $1 "$work/with.c" -c -o "$work/with.o"
    symbols=$(nm -g "$work/with.o" | awk 'NF == 3 { print $3 }')
    check "exports gmpunch_version $1" grep -q '^_\?gmpunch_version$' <<<"$symbols"
    empty "exported without the prefix gmpunch_ $1" "$(grep -v '^_\?gmpunch_' <<<"$symbols")"
    empty "undefined symbols $1" "$(nm -u "$work/with.o" | awk '{ print $NF }' | grep -Evx "($2)(@.*)?")"
    empty "writable variables $1" "$(nm "$work/with.o" | grep -E ' [bBdDcC] ')"
}

# ---- installed: find_package and pkg-config

install_to() { # prefix, cmake arguments. The prefix is moved afterwards: an installed package does not know where it is.
    local prefix=$1
    shift
    rm -rf "$prefix"
    check "configure $*" cmake -S "$root" -B "$prefix.build" -DCMAKE_INSTALL_PREFIX="$prefix.before" -DGMPUNCH_BUILD_TESTS=OFF \
        -DGMPUNCH_BUILD_EXAMPLES=OFF -DGMPUNCH_WERROR=ON "$@"
    check "build $*" cmake --build "$prefix.build"
    check "install $*" cmake --install "$prefix.build"
    mv "$prefix.before" "$prefix"
}

consume() { # prefix, name, cmake arguments
    local prefix=$1 name=$2
    shift 2
    check "$name: configure" cmake -S "$here/find_package" -B "$work/$name" -DCMAKE_PREFIX_PATH="$prefix" "$@"
    check "$name: build" cmake --build "$work/$name"
    check "$name: run" "$work/$name/consumer"
}

test_find_package() {
    need cmake
    install_to "$work/headers" -DGMPUNCH_BUILD_LIB=OFF
    install_to "$work/static" -DBUILD_SHARED_LIBS=OFF
    install_to "$work/shared" -DBUILD_SHARED_LIBS=ON
    consume "$work/headers" headers -DCONSUMER_TARGET=gmpunch::gmpunch
    consume "$work/headers" headers-cxx -DCONSUMER_TARGET=gmpunch::gmpunch -DCONSUMER_LANGUAGE=CXX
    for kind in static shared; do
        consume "$work/$kind" $kind-headers -DCONSUMER_TARGET=gmpunch::gmpunch
        consume "$work/$kind" $kind-lib -DCONSUMER_TARGET=gmpunch::lib
        consume "$work/$kind" $kind-lib-cxx -DCONSUMER_TARGET=gmpunch::lib -DCONSUMER_LANGUAGE=CXX
    done
    check "another major version is refused" not cmake -S "$here/find_package" -B "$work/refused" \
        -DCMAKE_PREFIX_PATH="$work/static" -DCONSUMER_TARGET=gmpunch::gmpunch -DCONSUMER_VERSION=99
    local symbols
    symbols=$(nm -D --defined-only "$work"/shared/lib*/libgmpunch.so 2>/dev/null || nm -gU "$work"/shared/lib/libgmpunch.dylib)
    check "the shared library exports" grep -q gmpunch_client_create <<<"$symbols"
    empty "the shared library exports more" "$(awk '{ print $NF }' <<<"$symbols" | grep -v '^_\?gmpunch_')"
}

not() { ! "$@"; }

test_pkg_config() {
    need cmake pkg-config
    install_to "$work/static" -DBUILD_SHARED_LIBS=OFF
    install_to "$work/shared" -DBUILD_SHARED_LIBS=ON
    local kind
    for kind in static shared; do
        PKG_CONFIG_PATH=$(dirname "$(find "$work/$kind" -name gmpunch.pc)")
        export PKG_CONFIG_PATH
        check "$kind: version" [ "$(pkg-config --modversion gmpunch)" = "$(pkg-config --modversion gmpunch-lib)" ]
        # shellcheck disable=SC2046 # several words
        check "$kind: headers" "$cc" -DGMPUNCH_IMPLEMENTATION "$here/consumer.c" -o "$work/headers" \
            $(pkg-config --cflags --libs gmpunch)
        check "$kind: headers, run" "$work/headers"
        # shellcheck disable=SC2046
        check "$kind: lib" "$cc" "$here/consumer.c" -o "$work/lib" $(pkg-config --cflags --libs gmpunch-lib)
        check "$kind: lib, run" env LD_LIBRARY_PATH="$(pkg-config --variable=libdir gmpunch-lib)" \
            DYLD_LIBRARY_PATH="$(pkg-config --variable=libdir gmpunch-lib)" "$work/lib"
    done
}

# ---- the compiled library: what it exports, and whether it serves programs that were built with an older header

build_shared() {
    need cmake python3 nm
    check "configure" cmake -S "$root" -B "$work/shared" -DBUILD_SHARED_LIBS=ON -DGMPUNCH_BUILD_TESTS=OFF \
        -DGMPUNCH_BUILD_EXAMPLES=OFF -DGMPUNCH_WERROR=ON
    check "build" cmake --build "$work/shared"
}

# exports.txt is what programs may rely on: a name is added there on purpose, and never taken out without a new SOVERSION.
test_exports() {
    build_shared
    python3 "$root/tests/bindings/header.py" functions >"$work/declared"
    check "exports.txt is what the header declares" diff "$here/exports.txt" "$work/declared"
    nm -D --defined-only "$work/shared/libgmpunch.so" | awk '{ print $NF }' | sort >"$work/exported"
    check "the shared library exports what exports.txt has" diff <(sort "$here/exports.txt") "$work/exported"
    check "SONAME" grep -q "SONAME.*libgmpunch\.so\.$(version_major)\b" <(objdump -p "$work/shared/libgmpunch.so")
    check "configure, static" cmake -S "$root" -B "$work/static" -DBUILD_SHARED_LIBS=OFF -DGMPUNCH_BUILD_TESTS=OFF \
        -DGMPUNCH_BUILD_EXAMPLES=OFF
    check "build, static" cmake --build "$work/static"
    nm -g --defined-only "$work/static/libgmpunch.a" | awk 'NF == 3 { print $NF }' | sort >"$work/exported"
    check "the static library has what exports.txt has" diff <(sort "$here/exports.txt") "$work/exported"
}

version_major() { sed -n 's/^#define GMPUNCH_VERSION_MAJOR //p' "$root/gmpunch.h"; }

test_abi() {
    build_shared
    older now
    older less client_config.log_user host_config.log_user lobby_config.log_user master_config.log_user \
        client_stats.events_dropped host_stats.events_dropped lobby_stats.oversized master_stats.tcp_bytes_out \
        peer_info.connected_ms
    older half client_config.knock_interval_ms host_config.reconnect_max_ms lobby_config.max_entry \
        master_config.max_ports_per_ip client_stats.sockets_used host_stats.data_sent lobby_stats.entries \
        master_stats.refused_memory peer_info.flags
    older oldest client_config.bind_address host_config.bind_address lobby_config.master master_config.bind_address \
        client_stats.announces_sent host_stats.peers lobby_stats.master_attempts master_stats.connections peer_info.peer
    check "four programs with structs of different sizes" [ "$(sort -u "$work/sizes" | wc -l)" = 4 ]
}

older() { # name, last fields without the prefix
    local name=$1
    shift
    mkdir -p "$work/$name"
    python3 "$root/tests/bindings/header.py" older "${@/#/gmpunch_}" >"$work/$name/gmpunch.h"
    # shellcheck disable=SC2086 # several words
    check "$name: compile" "$cc" -std=c99 $warnings -DGMPUNCH_DLL -I"$work/$name" "$here/abi.c" -o "$work/$name/abi" \
        -L"$work/shared" -lgmpunch -Wl,-rpath,"$work/shared"
    check "$name: run" run_into "$work/sizes" "$work/$name/abi"
}

run_into() { "$2" >>"$1"; }

# ---- a part of another build

test_add_subdirectory() {
    need cmake
    local shared
    for shared in OFF ON; do
        check "shared=$shared: configure" cmake -S "$here/add_subdirectory" -B "$work/$shared" -DBUILD_SHARED_LIBS=$shared \
            -DGMPUNCH_SOURCE="$root"
        check "shared=$shared: build" cmake --build "$work/$shared"
        check "shared=$shared: headers, run" "$work/$shared/out/with_headers"
        check "shared=$shared: lib, run" "$work/$shared/out/with_lib"
        check "shared=$shared: install" cmake --install "$work/$shared" --prefix "$work/$shared/prefix"
        empty "shared=$shared: installed files" "$(find "$work/$shared/prefix" -type f 2>/dev/null)"
    done
}

# ---- compilers called by hand

test_plain() { # as README does it
    local source
    for source in "$root"/examples/*.c; do
        check "cc $(basename "$source")" "$cc" "$source" -o "$work/example"
    done
    for source in "$root"/examples/*.cpp; do
        check "c++ $(basename "$source")" "$cxx" -std=c++11 -I"$root" "$source" -o "$work/example"
    done
    awk '/^```c$/ { inside = 1; next } /^```/ && inside { exit } inside' "$root/README.md" >"$work/readme.c"
    check "the program in README" grep -q gmpunch_client_open "$work/readme.c"
    # shellcheck disable=SC2086 # several words
    check "cc of the program in README" "$cc" -std=c99 $warnings -I"$root" "$work/readme.c" -o "$work/readme"
}

test_tcc() {
    need tcc
    check "compile" tcc -Wall -Werror -I"$root" -DGMPUNCH_IMPLEMENTATION "$here/consumer.c" -o "$work/consumer"
    check "run" "$work/consumer"
    local source
    for source in "$root"/examples/*.c; do
        check "$(basename "$source")" tcc -Wall -Werror "$source" -o "$work/example"
    done
}

test_musl() { # a static program that needs nothing of the system it runs on
    need musl-gcc
    local source
    for source in "$root"/examples/*.c; do
        # shellcheck disable=SC2086 # several words
        check "$(basename "$source")" musl-gcc -std=c99 -D_DEFAULT_SOURCE -O2 -static $warnings "$source" \
            -o "$work/$(basename "$source" .c)"
    done
    empty "a program interpreter" "$(readelf -l "$work/punch" 2>&1 | grep -i interp)"
    check "the demo" "$work/punch"
    check "the master" "$work/gatepunch" --version
}

# zig cc is clang with the headers and libraries of other systems. ZIG names it; else it is looked for in PATH.
test_macos() { # compiled and linked; there is nothing here to run it on
    local zig=${ZIG:-zig} source target
    need "$zig"
    export ZIG_GLOBAL_CACHE_DIR=$work/zig-cache
    for target in x86_64-macos aarch64-macos; do
        for source in "$root"/examples/*.c; do
            # shellcheck disable=SC2086 # several words
            check "$target: $(basename "$source")" "$zig" cc -target $target -std=c99 $warnings "$source" -o "$work/program"
        done
        check "$target: shared library" "$zig" cc -target $target -shared -x c -DGMPUNCH_IMPLEMENTATION -DGMPUNCH_DLL \
            "$root/gmpunch.h" -o "$work/libgmpunch.dylib"
        # shellcheck disable=SC2086
        check "$target: gmpunch.hpp" "$zig" c++ -target $target -std=c++17 $warnings -I"$root" -c "$root/examples/chat.cpp" \
            -o "$work/chat.o"
    done
}

rm -rf "$work"
mkdir -p "$work"
case ${1:-} in
headers-gcc) test_headers gcc g++ ;;
headers-clang) test_headers clang clang++ ;;
headers-mingw) test_headers x86_64-w64-mingw32-gcc x86_64-w64-mingw32-g++ ;;
units | hygiene | find_package | pkg_config | exports | abi | add_subdirectory | plain | tcc | musl | macos) "test_$1" ;;
*) echo "Usage: $0 headers-gcc|headers-clang|headers-mingw|units|hygiene|find_package|pkg_config|exports|abi|add_subdirectory|" \
    "plain|tcc|musl|macos [WORK_DIRECTORY]"
    exit 1 ;;
esac
[ -n "${2:-}" ] || rm -rf "$work"
echo "$1: $count checks, $failed failed"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
