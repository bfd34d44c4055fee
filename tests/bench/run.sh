#!/usr/bin/env bash
# Measures the master beside the floor (floor.c: the same system calls, no logic) and its engine without sockets. Linux.
# Builds in build/bench, prints tables, and leaves there growth.svg, a plot of how costs grow with the hosts.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$PWD/build/bench
mkdir -p "$build"

for source in tests/bench/load.c tests/bench/floor.c examples/gatepunch.c; do
    ${CC:-cc} -std=gnu99 -O2 "$source" -o "$build/$(basename "$source" .c)"
done
rm -f "$build/micro"
if echo '#include <benchmark/benchmark.h>' | ${CXX:-c++} -E -x c++ - >/dev/null 2>&1; then
    ${CXX:-c++} -std=c++17 -O2 tests/bench/micro.cpp -lbenchmark -lpthread -o "$build/micro"
else
    echo "SKIPPED: the engine alone: Google Benchmark is missing (Debian: libbenchmark-dev)"
fi
exec python3 tests/bench/run.py "$build" "$@"
