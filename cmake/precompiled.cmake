# A precompiled header of the standard library's and the dependencies' headers, so that they are read once and not once for
# each file. None of our own is in it: a change of ours never builds everything anew. A file includes what it uses
# nevertheless; the static analysis reads each one without this.
#
# It lies in the cache, named by a hash of all that went into it, so that checkouts and build folders share it, and ccache
# what is compiled with it.

set(_standard algorithm array atomic charconv chrono condition_variable cstdint expected filesystem format fstream functional
  map memory mutex optional set span stop_token string string_view thread vector)
set(_dependencies nlohmann/json.hpp spdlog/spdlog.h)
set(_tests catch2/catch_test_macros.hpp catch2/generators/catch_generators.hpp catch2/matchers/catch_matchers_exception.hpp
  catch2/matchers/catch_matchers_string.hpp)

# dstack_precompile(<name> HEADERS <header>... LINK <library>... [OPTIONS <option>...]): ${name}_FILE and a target that
# builds it.
function(dstack_precompile name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;LINK;OPTIONS")
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  separate_arguments(flags NATIVE_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}}")
  list(APPEND flags ${CMAKE_CXX23_STANDARD_COMPILE_OPTION} ${DSTACK_OPTIONS} ${DSTACK_CXX_OPTIONS} ${arg_OPTIONS})
  if(CMAKE_POSITION_INDEPENDENT_CODE)
    list(APPEND flags ${CMAKE_CXX_COMPILE_OPTIONS_PIC})
  endif()
  foreach(library IN LISTS arg_LINK)
    get_target_property(folders ${library} INTERFACE_INCLUDE_DIRECTORIES)
    foreach(folder IN LISTS folders)
      list(APPEND flags -isystem ${folder})
    endforeach()
    get_target_property(definitions ${library} INTERFACE_COMPILE_DEFINITIONS)
    if(definitions)
      list(TRANSFORM definitions PREPEND -D)
      list(APPEND flags ${definitions})
    endif()
  endforeach()

  list(TRANSFORM arg_HEADERS REPLACE "(.+)" "#include <\\1>\n" OUTPUT_VARIABLE text)
  list(JOIN text "" text)
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} --version OUTPUT_VARIABLE compiler COMMAND_ERROR_IS_FATAL ANY)
  string(SHA256 key "${compiler} ${CMAKE_CXX_COMPILER} ${flags} ${text}")
  string(SUBSTRING ${key} 0 12 key)
  set(stem "${DSTACK_CACHE_DIR}/stage/${DSTACK_TOOLCHAIN}/${name}-${key}")
  file(CONFIGURE OUTPUT "${stem}.h" CONTENT "${text}")
  # Renamed into place, since other builds may make or use it now. zig makes one only without -c.
  string(SHA256 build "${PROJECT_BINARY_DIR}")
  set(new "${stem}.${build}.new")
  set(depfile "${PROJECT_BINARY_DIR}/generated/${name}.d")
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/generated")
  add_custom_command(
    OUTPUT "${stem}.pch"
    DEPFILE "${depfile}"
    COMMAND ${CMAKE_CXX_COMPILER} ${flags} -fpch-instantiate-templates -Xclang -fno-pch-timestamp
            -MD -MT "${stem}.pch" -MF "${depfile}" -x c++-header "${stem}.h" -o "${new}"
    COMMAND ${CMAKE_COMMAND} -E rename "${new}" "${stem}.pch"
    COMMENT "Precompiling headers (${name})"
    VERBATIM)
  add_custom_target(dstack_${name} DEPENDS "${stem}.pch")
  set(${name}_FILE "${stem}.pch" PARENT_SCOPE)
endfunction()

# A release is compiled for size where speed is lost in the waits for Docker, servers and people: dstack_for_size(<target>...).
set(_for_size "")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(_for_size -Os)
endif()

function(dstack_for_size)
  set_target_properties(${ARGN} PROPERTIES DSTACK_FOR_SIZE ON)
endfunction()

# Called when all targets are known: every static library below `folder` uses one, and every program of tests.
function(dstack_use_precompiled folder)
  get_property(folders DIRECTORY "${folder}" PROPERTY SUBDIRECTORIES)
  foreach(subfolder IN LISTS folders)
    dstack_use_precompiled("${subfolder}")
  endforeach()
  get_property(targets DIRECTORY "${folder}" PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(type ${target} TYPE)
    get_target_property(links ${target} LINK_LIBRARIES)
    if(type STREQUAL "STATIC_LIBRARY")
      set(name precompiled)
      get_target_property(for_size ${target} DSTACK_FOR_SIZE)
      if(for_size AND _for_size)
        set(name precompiled_for_size)
        target_compile_options(${target} PRIVATE ${_for_size})
      endif()
    elseif(type STREQUAL "EXECUTABLE" AND "Catch2::Catch2WithMain" IN_LIST links)
      set(name precompiled_tests)
    else()
      continue()
    endif()
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -include-pch -Xclang ${${name}_FILE}>")
    add_dependencies(${target} dstack_${name})
  endforeach()
endfunction()

dstack_precompile(precompiled
  HEADERS ${_standard} ${_dependencies}
  LINK nlohmann_json::nlohmann_json spdlog::spdlog)
if(_for_size)
  dstack_precompile(precompiled_for_size
    HEADERS ${_standard} ${_dependencies}
    LINK nlohmann_json::nlohmann_json spdlog::spdlog
    OPTIONS ${_for_size})
endif()
if(DSTACK_TESTS)
  dstack_precompile(precompiled_tests
    HEADERS ${_standard} ${_dependencies} ${_tests}
    LINK nlohmann_json::nlohmann_json spdlog::spdlog Catch2::Catch2)
endif()
