# ThreadSanitizer. It must see the locks that the C++ dependencies take, so they are built with it too.

set(DSTACK_SANITIZE "-fsanitize=thread -fno-omit-frame-pointer")
include("${CMAKE_CURRENT_LIST_DIR}/clang.cmake")
