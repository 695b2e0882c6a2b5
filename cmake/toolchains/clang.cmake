# Daily work: clang and libc++ of the distribution, its C libraries linked dynamically.

set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_C_FLAGS_INIT "${DSTACK_SANITIZE}")
set(CMAKE_CXX_FLAGS_INIT "-stdlib=libc++ ${DSTACK_SANITIZE}")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-fuse-ld=lld-19")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-fuse-ld=lld-19")
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-fuse-ld=lld-19")
