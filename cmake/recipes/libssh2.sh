#!/usr/bin/env bash
set -euo pipefail

cmake_install \
    -DCRYPTO_BACKEND=OpenSSL \
    -DENABLE_ZLIB_COMPRESSION=OFF \
    -DBUILD_EXAMPLES=OFF \
    -DBUILD_TESTING=OFF
