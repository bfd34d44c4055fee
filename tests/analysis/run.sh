#!/usr/bin/env bash
# Looks into gmpunch.h deeper than its tests can alone. Works in build/analysis/. The last line is the result: "N passed,
# N failed, N skipped"; the exit code is 0 if nothing failed.
set -u -o pipefail

usage() {
    cat <<END
Usage: tests/analysis/run.sh [CHECK...]

  coverage        lines and branches of gmpunch.h that the unit tests reach: at least $lines_required % and $branches_required %
  stack           stack of each function of gmpunch.h: at most $stack_allowed bytes
  cppcheck        )
  clang-tidy      ) no findings in gmpunch.h; clang-tidy also in the examples
  clang-analyzer  )
  gcc-analyzer    )
  msan            the examples in their tests, with MemorySanitizer: nothing is used that was never written
  valgrind        unit tests with memcheck: no errors, leaks, or descriptors left open

Without CHECK: all. Each needs its tool (gcovr, cppcheck, clang-tidy, clang, gcc, valgrind) and is skipped without.
How many changes to gmpunch.h the tests notice is another command, as it takes long: tests/analysis/mutate.py.
END
}

lines_required=97
branches_required=90
stack_allowed=4096

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
work=$PWD/build/analysis
jobs=$(nproc 2>/dev/null || echo 2)

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "SKIPPED: $tool is not installed"; return 77; }
    done
}

# unit NAME CC CXX FLAGS LIBRARY_FLAGS: builds the unit tests as build/analysis/NAME/unit.
unit() {
    local directory=$work/$1
    mkdir -p "$directory"
    python3 tests/analysis/split.py "$directory" || return
    make -j "$jobs" -f tests/analysis/unit.mk OUT="$directory" CC="$2" CXX="$3" FLAGS="$4" LIBRARY_FLAGS="$5" \
        >"$directory/build.log" 2>&1 || { tail -n 40 "$directory/build.log"; return 1; }
}

# silent COMMAND...: fails if it says anything, which is shown.
silent() {
    local output
    output=$("$@" 2>&1)
    local status=$?
    [ -z "$output" ] || { echo "$output"; return 1; }
    return $status
}

# nothing FILE PATTERN: fails if the file has lines like that, which are shown.
nothing() { ! grep -aE "$2" "$1"; }

check_coverage() {
    need gcc g++ make gcovr || return
    unit coverage gcc g++ -O0 --coverage || return
    rm -f "$work"/coverage/*.gcda
    (cd "$work/coverage" && ./unit --no-colors >tests.log 2>&1) || { tail -n 30 "$work/coverage/tests.log"; return 1; }
    # What an assertion that holds does not do is no branch of the library.
    gcovr --root . --filter '.*gmpunch\.h$' --exclude-lines-by-pattern '.*GMPUNCH_ASSERT\(.*' \
        --object-directory "$work/coverage" --json-summary "$work/coverage/summary.json" \
        --html-details "$work/coverage/index.html" "$work/coverage" || return
    python3 - "$work/coverage/summary.json" "$lines_required" "$branches_required" <<'END'
import json, sys
summary, lines, branches = json.load(open(sys.argv[1])), float(sys.argv[2]), float(sys.argv[3])
good = True
for what, least in (("line", lines), ("branch", branches)):
    covered, total = summary[f"{what}_covered"], summary[f"{what}_total"]
    share = 100 * covered / total
    good &= share >= least
    print(f"{what} coverage of gmpunch.h: {share:.1f} % ({covered} of {total}), required: {least:.0f} %")
sys.exit(not good)
END
}

check_stack() {
    need gcc || return
    mkdir -p "$work/stack"
    local level status=0
    for level in 0 2; do
        gcc -std=c99 "-O$level" -fstack-usage -fkeep-static-functions -DGMPUNCH_IMPLEMENTATION -x c -c gmpunch.h \
            -o "$work/stack/$level.o" || return 1
        echo "the largest at -O$level, bytes:"
        sed 's/.*:\([^:]*\)$/\1/' "$work/stack/$level.su" | sort -t "$(printf '\t')" -k 2,2nr >"$work/stack/$level.txt"
        head -n 5 "$work/stack/$level.txt"
        awk -F '\t' -v most=$stack_allowed '$2 > most || $3 == "dynamic" { print "TOO MUCH: " $0; bad = 1 }
            END { exit bad || NR < 500 }' "$work/stack/$level.txt" || status=1
    done
    return $status
}

check_cppcheck() {
    need cppcheck || return
    local system
    # the constants are what the implementation asks the C library's headers for
    for system in "-D__linux__ -DCLOCK_MONOTONIC=1 -DAI_ADDRCONFIG=1" -D_WIN32; do
        # shellcheck disable=SC2086 # $system is several words
        silent cppcheck --quiet --enable=warning,performance,portability --std=c99 --language=c --library=posix \
            --inline-suppr -DGMPUNCH_IMPLEMENTATION $system gmpunch.h || return
    done
    echo "no findings"
}

check_clang_tidy() {
    need clang-tidy || return
    local file
    mkdir -p "$work/clang-tidy"
    for file in gmpunch.h examples/*.c; do
        # the examples have one thread each
        clang-tidy --quiet --checks=-concurrency-mt-unsafe "$file" -- -x c -std=c99 -I. -DGMPUNCH_IMPLEMENTATION \
            >"$work/clang-tidy/log" 2>&1 || { nothing "$work/clang-tidy/log" .; return 1; }
    done
    echo "no findings"
}

check_clang_analyzer() {
    need clang || return
    silent clang --analyze -std=c99 -DGMPUNCH_IMPLEMENTATION -x c gmpunch.h -o /dev/null || return
    echo "no findings"
}

# Room by room: for the whole it takes too long. gcc 12 takes what memcpy filled for uninitialized; msan and valgrind know.
check_gcc_analyzer() {
    need gcc || return
    local file count=0
    mkdir -p "$work/gcc-analyzer"
    python3 tests/analysis/split.py "$work/gcc-analyzer" || return
    for file in "$work"/gcc-analyzer/*.c; do
        [ "$file" != "$work/gcc-analyzer/library.c" ] || continue
        silent gcc -fanalyzer -Wno-analyzer-use-of-uninitialized-value -std=c99 -c -o /dev/null "$file" || return
        count=$((count + 1))
    done
    echo "no findings in $count rooms"
}

# The examples, which are C alone, over real sockets: in C++ programs what libstdc++ has compiled looks never written.
check_msan() {
    need clang python3 || return
    local example test bin=$work/msan flags="-std=c99 -g -O1 -fsanitize=memory -fsanitize-memory-track-origins -I."
    rm -rf "$bin" && mkdir -p "$bin"
    for example in punch gatepunch; do
        # shellcheck disable=SC2086 # $flags is several words
        clang $flags "examples/$example.c" -o "$bin/$example" || return
    done
    for test in punch gatepunch console; do
        case $test in console) set -- "$bin" ;; *) set -- "$bin/$test" ;; esac
        MSAN_OPTIONS=log_path=$bin/finding python3 "tests/net/test_$test.py" "$@" >"$bin/$test.log" 2>&1 ||
            { tail -n 30 "$bin/$test.log"; return 1; }
        echo "net.$test: $(grep -E '^Ran ' "$bin/$test.log")"
    done
    ! cat "$bin"/finding.* 2>/dev/null
}

# Without what takes minutes there: simulated hours, thousands of hosts, and what measures time or uses up all descriptors.
check_valgrind() {
    need gcc g++ make valgrind || return
    unit valgrind gcc g++ "-O1 -g1" "" || return
    valgrind --quiet --error-exitcode=99 --leak-check=full --track-fds=yes --child-silent-after-fork=yes \
        --log-file="$work/valgrind/valgrind.log" "$work/valgrind/unit" --no-colors --test-case-exclude="$valgrind_excluded" \
        >"$work/valgrind/tests.log" 2>&1 || { tail -n 40 "$work/valgrind/tests.log" "$work/valgrind/valgrind.log"; return 1; }
    grep -aE '^\[doctest\] (test cases|assertions)' "$work/valgrind/tests.log"
    # valgrind's own log and what the shell handed on are not ours
    python3 - "$work/valgrind/valgrind.log" <<'END'
import re, sys
text = open(sys.argv[1], errors="replace").read()
text = re.sub(r"(?m)^==\d+== ?", "", text)
opened = [entry for entry in re.findall(r"(?ms)^Open (?:file descriptor|AF_\w+ socket) \d+:.*?(?=^Open|^FILE|\Z)", text)
          if "<inherited from parent>" not in entry and "valgrind.log" not in entry]
print("".join(opened) + f"{len(opened)} descriptors left open, no errors, no leaks")
sys.exit(bool(opened))
END
}
valgrind_excluded="gate_punch: *hour*,gate_punch: connections that*,gate_punch: data committed*,gate_punch: restarts*"
valgrind_excluded+=",master: twenty*,master: random*,master: no memory*,master: the end of*,lobby: ten*"
valgrind_excluded+=",lobby client: a hundred*,wire: UTF-8*,vectors: recorded hosts*,sockets: poll waits*"
valgrind_excluded+=",sockets: without descriptors*,guard page: *,address: agrees*,memory: a jitter*"

all=(stack cppcheck clang-tidy gcc-analyzer clang-analyzer coverage msan valgrind)
case ${1:-} in -h | --help) usage; exit 0 ;; esac
for check in "$@"; do
    printf '%s\n' "${all[@]}" | grep -qx -- "$check" || { usage; exit 2; }
done
[ $# -gt 0 ] || set -- "${all[@]}"

passed=0 failed=0 skipped=0
for check in "$@"; do
    echo "== $check"
    begin=$SECONDS
    "check_${check//-/_}"
    case $? in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)); echo "FAILED: $check" ;;
    esac
    echo "($((SECONDS - begin)) s)"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
