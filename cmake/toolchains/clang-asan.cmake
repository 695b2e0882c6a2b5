# AddressSanitizer and UndefinedBehaviorSanitizer. The C++ dependencies are built with them too: libc++'s containers are
# annotated, and code with and without the annotations must not share a container.

set(DSTACK_SANITIZE "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer")
include("${CMAKE_CURRENT_LIST_DIR}/clang.cmake")
