#!/usr/bin/env bash
set -euo pipefail
# Split into a header and one object, so that its 15,000 lines are compiled once. TLS and compression stay out: the
# servers speak plain HTTP, and what calls out uses libcurl.
cmake_install \
    -DHTTPLIB_COMPILE=ON \
    -DHTTPLIB_USE_OPENSSL_IF_AVAILABLE=OFF \
    -DHTTPLIB_USE_ZLIB_IF_AVAILABLE=OFF \
    -DHTTPLIB_USE_BROTLI_IF_AVAILABLE=OFF \
    -DHTTPLIB_USE_ZSTD_IF_AVAILABLE=OFF \
    -DHTTPLIB_USE_NON_BLOCKING_GETADDRINFO=OFF
