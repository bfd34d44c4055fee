#!/bin/sh
# Prints the path of gmpunch as a shared library, for languages that load one. Builds it where it is missing or older than
# gmpunch.h: with $CC (cc), in $XDG_CACHE_HOME (~/.cache). To install it for all programs use CMake instead, see README.
set -eu
header=$(cd "$(dirname "$0")/.." && pwd)/gmpunch.h
case $(uname) in
Darwin) name=libgmpunch.dylib ;;
MINGW* | MSYS* | CYGWIN*) name=gmpunch.dll ;;
*) name=libgmpunch.so ;;
esac
directory=${XDG_CACHE_HOME:-$HOME/.cache}/gmpunch
library=$directory/$name
if [ -z "$(find "$library" -newer "$header" 2>/dev/null)" ]; then
    mkdir -p "$directory"
    [ "$name" = gmpunch.dll ] && libs=-lws2_32 || libs=
    # Under a name of its own until it is whole: others may be loading, or building, too.
    ${CC:-cc} -O2 -fPIC -fvisibility=hidden -shared -DGMPUNCH_DLL -DGMPUNCH_IMPLEMENTATION -x c "$header" \
        -o "$library.$$" $libs
    mv -f "$library.$$" "$library"
fi
echo "$library"
