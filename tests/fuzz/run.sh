#!/usr/bin/env bash
# Builds the fuzzers with clang and runs them, two at a time. New inputs stay in build/fuzz/corpus; tests/fuzz/corpus has the
# few that reach everything. Exit code 1 if one found something; the input that shows it is named.
set -u -o pipefail

all="buffer wire lines lobby master host client world"
usage() {
    cat <<END
Usage: tests/fuzz/run.sh [--seconds N] [--seed N] [--replay] [NAME...]

  --seconds N  how long each runs; default 60
  --seed N     of the fuzzers' random numbers; default: another each time
  --replay     runs only the inputs of tests/fuzz/corpus, once each
  NAME         of: $all; default all
END
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
build=$PWD/build/fuzz
seconds=60
seed=0
replay=""
names=""
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2:-} && shift ;;
    --seed) seed=${2:-} && shift ;;
    --replay) replay=yes ;;
    -h | --help) usage && exit 0 ;;
    *)
        [[ " $all " == *" $1 "* ]] || { usage >&2; exit 2; }
        names+="$1 "
        ;;
    esac
    shift
done
[[ $seconds =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]] || { usage >&2; exit 2; }
[ -n "$names" ] || names=$all

fuzz() { # name: builds and runs; the log and a line for the table stay
    local name=$1 status runs rate reached finding result=none
    rm -rf "${build:?}/$name".{log,row,findings}
    mkdir -p "$build/corpus/$name" "$build/$name.findings"
    if ! clang++ -std=c++17 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        "tests/fuzz/fuzz_$name.cpp" -o "$build/$name" >"$build/$name.log" 2>&1; then
        printf '%-8s %12s %8s %9s  %s\n' "$name" - - - "not built: $build/$name.log" >"$build/$name.row"
        return
    fi
    if [ -n "$replay" ]; then
        set -- -runs=0
    else
        set -- -max_total_time="$seconds" -seed="$seed" -dict=tests/fuzz/gmpunch.dict "$build/corpus/$name"
    fi
    "$build/$name" -print_final_stats=1 -timeout=10 -rss_limit_mb=2048 -max_len=4096 -artifact_prefix="$build/$name.findings/" \
        "$@" "tests/fuzz/corpus/$name" >"$build/$name.log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$build/$name.log")
    reached=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$build/$name.log" | tail -n 1)
    finding=$(find "$build/$name.findings" -type f ! -name 'slow-unit-*' | head -n 1)
    [ $status -eq 0 ] || result=${finding:-exit $status, see $build/$name.log}
    printf '%-8s %12s %8s %9s  %s\n' "$name" "${runs:--}" "${rate:--}" "${reached:--}" "$result" >"$build/$name.row"
}

mkdir -p "$build"
for name in $names; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    fuzz "$name" &
done
wait

failed=0
printf '%-8s %12s %8s %9s  %s\n' fuzzer executions exec/s coverage findings
for name in $names; do
    cat "$build/$name.row"
    grep -q '  none$' "$build/$name.row" && continue
    failed=1
    grep -hE 'not so:|ERROR:|runtime error:|error:' "$build/$name.log" | head -n 5
done
exit $failed
