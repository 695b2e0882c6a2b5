#!/usr/bin/env bash
# Not by CMake: Debian's archive of it lacks a file that the CMake build wants.
set -euo pipefail

cd "$SOURCE"
./configure --static --prefix="$PREFIX"
make -j"$(nproc)" libz.a
make DESTDIR="$IMAGE" install
