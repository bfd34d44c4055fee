# Toolchain for another machine: cmake -DCMAKE_TOOLCHAIN_FILE=tests/cross.cmake -DGMPUNCH_TARGET=TRIPLET
#
#   x86_64-w64-mingw32  Windows x64, run by wine (with the prefix in WINEPREFIX)
#   i686-w64-mingw32    Windows x86, built only
#   i686-linux-gnu      Linux with 32-bit words, run as it is
#   s390x-linux-gnu     Linux with the most significant byte first, run by qemu
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GMPUNCH_TARGET)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${GMPUNCH_TARGET}")
if(GMPUNCH_TARGET MATCHES "mingw32$")
  set(CMAKE_SYSTEM_NAME Windows)
else()
  set(CMAKE_SYSTEM_NAME Linux)
endif()

# Debian has two mingw-w64, of which one lacks std::thread; elsewhere there is only the other.
find_program(GMPUNCH_CROSS_C_COMPILER NAMES ${GMPUNCH_TARGET}-gcc-posix ${GMPUNCH_TARGET}-gcc)
find_program(GMPUNCH_CROSS_CXX_COMPILER NAMES ${GMPUNCH_TARGET}-g++-posix ${GMPUNCH_TARGET}-g++)
set(CMAKE_C_COMPILER "${GMPUNCH_CROSS_C_COMPILER}")
set(CMAKE_CXX_COMPILER "${GMPUNCH_CROSS_CXX_COMPILER}")
set(CMAKE_EXE_LINKER_FLAGS_INIT -static) # no libraries of that machine are needed to run

set(CMAKE_FIND_ROOT_PATH /usr/${GMPUNCH_TARGET})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

if(GMPUNCH_TARGET STREQUAL "x86_64-w64-mingw32")
  find_program(GMPUNCH_EMULATOR NAMES wine64 wine HINTS /usr/lib/wine)
elseif(GMPUNCH_TARGET STREQUAL "i686-linux-gnu")
  find_program(GMPUNCH_EMULATOR NAMES env)
elseif(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  find_program(GMPUNCH_EMULATOR NAMES qemu-${CMAKE_SYSTEM_PROCESSOR}-static qemu-${CMAKE_SYSTEM_PROCESSOR})
endif()
if(GMPUNCH_EMULATOR)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${GMPUNCH_EMULATOR}")
endif()
