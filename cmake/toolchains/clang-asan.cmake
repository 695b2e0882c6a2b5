# AddressSanitizer, and for our own code UndefinedBehaviorSanitizer (cmake/settings.cmake). The C++ dependencies are built
# with the first as well: libc++'s containers are annotated, and code with and without the annotations must not share a
# container. What a dependency does that is undefined is not ours to mend.

set(DSTACK_SANITIZE "-fsanitize=address -fno-omit-frame-pointer")
set(DSTACK_CHECK_UNDEFINED ON)
include("${CMAKE_CURRENT_LIST_DIR}/clang.cmake")
