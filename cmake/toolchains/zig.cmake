# Release binaries: clang, libc++ and the libc's headers out of one archive, for both architectures, on any machine. The
# files that set DSTACK_ARCH (amd64, arm64) and DSTACK_LIBC (musl, gnu) include this one; scripts/build-deps unpacks zig
# and writes the wrappers.

set(CMAKE_SYSTEM_NAME Linux)
if(DSTACK_ARCH STREQUAL "amd64")
  set(CMAKE_SYSTEM_PROCESSOR x86_64)
else()
  set(CMAKE_SYSTEM_PROCESSOR aarch64)
endif()

# In the cache, as the environment may be another one when ninja runs CMake again.
if(DEFINED ENV{DSTACK_CACHE_DIR})
  set(DSTACK_CACHE_DIR "$ENV{DSTACK_CACHE_DIR}" CACHE PATH "Where scripts/build-deps put things")
else()
  set(DSTACK_CACHE_DIR "$ENV{HOME}/.cache/dstack-shim" CACHE PATH "Where scripts/build-deps put things")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES DSTACK_CACHE_DIR)

# The version in dependencies.toml.
set(_wrappers "${DSTACK_CACHE_DIR}/zig-0.17.0/wrappers")
set(CMAKE_C_COMPILER "${_wrappers}/${DSTACK_ARCH}-${DSTACK_LIBC}-cc")
set(CMAKE_CXX_COMPILER "${_wrappers}/${DSTACK_ARCH}-${DSTACK_LIBC}-c++")
set(CMAKE_AR "${_wrappers}/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "${_wrappers}/ranlib" CACHE FILEPATH "")

# One set of flags for everything: zig builds its libc++ anew for another.
# C without tables for exceptions, which never pass through it: what C calls back catches them.
set(CMAKE_C_FLAGS_INIT "-ffunction-sections -fdata-sections -fno-unwind-tables -fomit-frame-pointer")
set(CMAKE_CXX_FLAGS_INIT "-ffunction-sections -fdata-sections")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# With musl this makes a static executable that is loaded at a random address nevertheless.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-pie -Wl,--gc-sections")

# Nothing of the machine's own may get in; the programs that it runs may.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
