#!/usr/bin/env bash
# What the recipes share. scripts/build-deps runs this file and then a recipe, in the folder WORK, with
#   SOURCE                       the unpacked archive
#   WORK, PREFIX, IMAGE          build below WORK for PREFIX, install into IMAGE (as DESTDIR)
#   TOOLCHAIN, TOOLCHAIN_FILE    e.g. zig-amd64-musl, and CMake's file of it
#   ROOTS, ROOT_<name>           the prefixes of what it needs
#   CC, CXX, AR, RANLIB, CFLAGS  for what is not built by CMake
set -euo pipefail

# No path of the machine that builds gets into a binary, nor the time.
no_paths="-ffile-prefix-map=$SOURCE=. -ffile-prefix-map=$WORK=."
export CFLAGS="-O2 -fPIE -ffunction-sections -fdata-sections $no_paths"
if [[ $TOOLCHAIN == zig-* ]]; then
    # As in cmake/toolchains/zig.cmake.
    CFLAGS+=" -fno-unwind-tables -fomit-frame-pointer"
fi
export SOURCE_DATE_EPOCH=0

# What is installed on the machine that builds is no use to another libc.
if [[ $TOOLCHAIN == zig-* ]]; then
    export PKG_CONFIG_LIBDIR=${ROOTS:+${ROOTS//;//lib/pkgconfig:}/lib/pkgconfig}
fi

# cmake_install [-DOPTION=VALUE...]
cmake_install() {
    # Optimisation and sections come from the toolchain file.
    CFLAGS=$no_paths CXXFLAGS=$no_paths cmake -S "$SOURCE" -B "$WORK/build" -G Ninja -Wno-dev \
        -DCMAKE_TOOLCHAIN_FILE="$TOOLCHAIN_FILE" \
        -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_INSTALL_PREFIX="$PREFIX" \
        -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_FIND_ROOT_PATH="$ROOTS" \
        -DCMAKE_PREFIX_PATH="$ROOTS" \
        -DBUILD_SHARED_LIBS=OFF \
        "$@"
    cmake --build "$WORK/build"
    DESTDIR="$IMAGE" cmake --install "$WORK/build"
}
