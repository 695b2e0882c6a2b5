set(DSTACK_ARCH amd64)
set(DSTACK_LIBC gnu)
include("${CMAKE_CURRENT_LIST_DIR}/zig.cmake")
