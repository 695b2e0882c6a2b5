# Where each dependency comes from: the distribution's package where it is new enough and the binary is for this
# distribution, otherwise a source pinned by SHA-256, built before by scripts/build-deps. CMake itself fetches and builds
# nothing, so it works without a network.
#
# What there is, with versions, hashes and origins: dependencies.toml. How it is built: recipes/.

cmake_path(GET CMAKE_TOOLCHAIN_FILE STEM DSTACK_TOOLCHAIN)
set(_users common ${DSTACK_PROGRAMS})
if(DSTACK_TESTS)
  list(APPEND _users tests)
endif()

# In the cache, as the environment may be another one when ninja runs CMake again.
if(DEFINED ENV{DSTACK_CACHE_DIR})
  set(DSTACK_CACHE_DIR "$ENV{DSTACK_CACHE_DIR}" CACHE PATH "Where scripts/build-deps put things")
else()
  set(DSTACK_CACHE_DIR "$ENV{HOME}/.cache/dstack-shim" CACHE PATH "Where scripts/build-deps put things")
endif()
set(ENV{DSTACK_CACHE_DIR} "${DSTACK_CACHE_DIR}")
execute_process(
  COMMAND "${PROJECT_SOURCE_DIR}/scripts/build-deps" --locate ${DSTACK_TOOLCHAIN} ${_users}
  OUTPUT_VARIABLE _located
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)

set(_table "")
set(_missing "")
string(REPLACE "\n" ";" _located "${_located}")
foreach(_line IN LISTS _located)
  string(REPLACE "|" ";" _line "${_line}")
  list(GET _line 0 _name)
  list(GET _line 1 _version)
  list(GET _line 2 _origin)
  list(GET _line 3 _prefix)
  if(_prefix STREQUAL "")
    list(APPEND _missing ${_name})
  elseif(NOT _prefix STREQUAL "/usr")
    list(APPEND CMAKE_FIND_ROOT_PATH "${_prefix}")
    list(APPEND CMAKE_PREFIX_PATH "${_prefix}")
  endif()
  set(DSTACK_HAS_${_name} TRUE)
  set(DSTACK_PREFIX_${_name} "${_prefix}")

  # Columns: padded with blanks and cut.
  string(SUBSTRING "${_name}                " 0 16 _name)
  string(SUBSTRING "${_version}            " 0 12 _version)
  string(APPEND _table "\n   ${_name}${_version}${_origin}")
endforeach()

if(_missing)
  list(JOIN _missing ", " _missing)
  list(JOIN _users " " _users)
  message(FATAL_ERROR "Not built yet: ${_missing}. Run this first:\n  scripts/build-deps ${DSTACK_TOOLCHAIN} ${_users}")
endif()

# What an earlier run found may have been built anew since, into another prefix.
get_cmake_property(_cached CACHE_VARIABLES)
foreach(_variable IN LISTS _cached)
  if("${${_variable}}" MATCHES "/stage/${DSTACK_TOOLCHAIN}/")
    unset(${_variable} CACHE)
  endif()
endforeach()

# dstack_import(<target> HEADER <file> [LIBRARY <name>] [LINK <target>...]), for what brings no CMake package of its own.
function(dstack_import target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;LIBRARY" "LINK")
  string(MAKE_C_IDENTIFIER "${target}" id)
  find_path(${id}_INCLUDE_DIR ${arg_HEADER} REQUIRED)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE "${${id}_INCLUDE_DIR}")
  if(arg_LIBRARY)
    find_library(${id}_LIBRARY ${arg_LIBRARY} REQUIRED)
    target_link_libraries(${target} INTERFACE "${${id}_LIBRARY}" ${arg_LINK})
  endif()
endfunction()

find_package(httplib REQUIRED CONFIG)
find_package(CLI11 REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)

dstack_import(nlohmann_json::nlohmann_json HEADER nlohmann/json.hpp)
# A conversion is written out, j.get<std::string>(): the silent ones throw where nobody looks.
target_compile_definitions(nlohmann_json::nlohmann_json INTERFACE JSON_USE_IMPLICIT_CONVERSIONS=0)

if(DSTACK_HAS_ftxui)
  find_package(ftxui REQUIRED CONFIG)
endif()
if(DSTACK_HAS_zlib)
  set(ZLIB_USE_STATIC_LIBS ${CMAKE_CROSSCOMPILING})
  find_package(ZLIB REQUIRED)
endif()
if(DSTACK_HAS_openssl)
  set(OPENSSL_USE_STATIC_LIBS ${CMAKE_CROSSCOMPILING})
  find_package(OpenSSL REQUIRED)
endif()
if(DSTACK_HAS_curl)
  find_package(CURL REQUIRED)
endif()
dstack_import(yaml::yaml HEADER yaml.h LIBRARY yaml)
if(DSTACK_HAS_libssh2)
  dstack_import(libssh2::libssh2 HEADER libssh2.h LIBRARY ssh2 LINK OpenSSL::Crypto)
endif()
if(DSTACK_HAS_libgit2)
  dstack_import(libgit2::libgit2 HEADER git2.h LIBRARY git2 LINK libssh2::libssh2 OpenSSL::SSL ZLIB::ZLIB)
endif()
if(DSTACK_HAS_libarchive)
  dstack_import(libarchive::libarchive HEADER archive.h LIBRARY archive LINK ZLIB::ZLIB)
endif()
if(DSTACK_HAS_zstd)
  dstack_import(zstd::zstd HEADER zstd.h LIBRARY zstd)
endif()
if(DSTACK_HAS_musl_malloc)
  # Before the libc, so that its allocator is not taken.
  find_library(MUSL_MALLOC_LIBRARY musl_malloc REQUIRED)
  target_link_libraries(dstack_settings INTERFACE "${MUSL_MALLOC_LIBRARY}")
endif()
# To be embedded: ${DSTACK_PREFIX_openssh}/share/sshd-multicall.zst, ${DSTACK_PREFIX_certifi}/share/cacert.pem.

if(DSTACK_TESTS)
  find_package(Catch2 3 REQUIRED CONFIG)
  include(Catch)
endif()

# Called at the end of the top-level file, so that it is the last thing on the screen.
function(dstack_print_dependencies)
  message(STATUS "Dependencies (${DSTACK_TOOLCHAIN}):${_table}")
endfunction()
