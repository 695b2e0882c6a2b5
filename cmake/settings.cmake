# dstack::settings: what our own code is compiled with. Dependencies never see it, their headers are SYSTEM ones.

add_library(dstack_settings INTERFACE)
add_library(dstack::settings ALIAS dstack_settings)

target_compile_features(dstack_settings INTERFACE cxx_std_23)

# From the top: #include "common/os/unique_fd.h".
target_include_directories(dstack_settings INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")

# All languages; what concerns C++ only; and what names the checkout.
set(DSTACK_OPTIONS
  -Wall -Wextra -Wpedantic -Werror
  -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wcast-qual
  -Wthread-safety -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi -Wnull-dereference -Wimplicit-fallthrough -Wformat=2
  # Tables of defaults and C structs ({.fd = fd, .events = POLLIN}) leave members to their defaults on purpose.
  -Wno-missing-field-initializers -Wno-missing-designated-field-initializers
  -fstack-protector-strong)
set(DSTACK_CXX_OPTIONS "")
# No path of the machine that builds gets into a binary.
target_compile_options(dstack_settings INTERFACE "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=")

# std::stop_token and std::jthread are behind this flag in libc++ 19 and part of the library from 20 on.
if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 20)
  list(APPEND DSTACK_CXX_OPTIONS -fexperimental-library)
  target_link_options(dstack_settings INTERFACE -fexperimental-library)
endif()

find_package(Threads REQUIRED)
target_link_libraries(dstack_settings INTERFACE Threads::Threads)

# libc++ stops at an index out of range or an empty optional instead of going on with garbage. For 1-2 % of the time in a
# release, and with everything it can check elsewhere. Undefined first: zig has an opinion of its own.
set(_hardening EXTENSIVE)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(_hardening FAST)
endif()
list(APPEND DSTACK_CXX_OPTIONS -U_LIBCPP_HARDENING_MODE -D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_${_hardening})

if(DSTACK_CHECK_UNDEFINED)
  # The check of virtual calls needs a descriptor for each new type, and tests take all of them away.
  list(APPEND DSTACK_OPTIONS -fsanitize=undefined -fno-sanitize=vptr -fno-sanitize-recover=all)
  target_link_options(dstack_settings INTERFACE -fsanitize=undefined)
endif()

# A release carries no symbols: 20 MB of them are zig's own libc++.
target_link_options(dstack_settings INTERFACE $<$<CONFIG:Release>:-s>)

# Everything is instrumented for libFuzzer; only its own programs (tests/fuzz) link it.
if(DSTACK_FUZZ)
  list(APPEND DSTACK_OPTIONS -fsanitize=fuzzer-no-link)
endif()

target_compile_options(dstack_settings INTERFACE ${DSTACK_OPTIONS} "$<$<COMPILE_LANGUAGE:CXX>:${DSTACK_CXX_OPTIONS}>")
