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

if(DSTACK_CACHE_DIR)
  set(ENV{DSTACK_CACHE_DIR} "${DSTACK_CACHE_DIR}")
endif()
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

  string(LENGTH "${_name}" _length)
  math(EXPR _length "16 - ${_length}")
  string(REPEAT " " ${_length} _fill)
  string(LENGTH "${_version}" _length)
  math(EXPR _length "10 - ${_length}")
  string(REPEAT " " ${_length} _fill2)
  string(APPEND _table "\n   ${_name}${_fill}${_version}${_fill2}${_origin}")
endforeach()

if(_missing)
  list(JOIN _missing ", " _missing)
  list(JOIN _users " " _users)
  message(FATAL_ERROR "Not built yet: ${_missing}. Run this first:\n  scripts/build-deps ${DSTACK_TOOLCHAIN} ${_users}")
endif()

find_package(httplib REQUIRED CONFIG)
find_path(NLOHMANN_JSON_INCLUDE_DIR nlohmann/json.hpp REQUIRED)
add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
target_include_directories(nlohmann_json::nlohmann_json SYSTEM INTERFACE "${NLOHMANN_JSON_INCLUDE_DIR}")
# A conversion is written out, j.get<std::string>(): the silent ones throw where nobody looks.
target_compile_definitions(nlohmann_json::nlohmann_json INTERFACE JSON_USE_IMPLICIT_CONVERSIONS=0)

find_package(CLI11 REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)

if(DSTACK_HAS_curl)
  set(OPENSSL_USE_STATIC_LIBS ${CMAKE_CROSSCOMPILING})
  set(ZLIB_USE_STATIC_LIBS ${CMAKE_CROSSCOMPILING})
  find_package(ZLIB REQUIRED)
  find_package(OpenSSL REQUIRED)
  find_package(CURL REQUIRED)
endif()

if(DSTACK_TESTS)
  find_package(Catch2 3 REQUIRED CONFIG)
  include(Catch)
endif()

# Called at the end of the top-level file, so that it is the last thing on the screen.
function(dstack_print_dependencies)
  message(STATUS "Dependencies (${DSTACK_TOOLCHAIN}):${_table}")
endfunction()
