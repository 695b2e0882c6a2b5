set(DSTACK_ARCH arm64)
set(DSTACK_LIBC gnu)
include("${CMAKE_CURRENT_LIST_DIR}/zig.cmake")
