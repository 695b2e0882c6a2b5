#!/usr/bin/env bash
# tar and gzip. The other formats are turned off by denying it what they need.
set -euo pipefail

cmake_install \
    -DENABLE_ZLIB=ON \
    -DENABLE_ACL=OFF \
    -DENABLE_BZip2=OFF \
    -DENABLE_CAT=OFF \
    -DENABLE_CPIO=OFF \
    -DENABLE_EXPAT=OFF \
    -DENABLE_ICONV=OFF \
    -DENABLE_LIBB2=OFF \
    -DENABLE_LIBXML2=OFF \
    -DENABLE_LZ4=OFF \
    -DENABLE_LZMA=OFF \
    -DENABLE_OPENSSL=OFF \
    -DENABLE_PCRE2POSIX=OFF \
    -DENABLE_PCREPOSIX=OFF \
    -DENABLE_TAR=OFF \
    -DENABLE_TEST=OFF \
    -DENABLE_UNZIP=OFF \
    -DENABLE_XATTR=OFF \
    -DENABLE_ZSTD=OFF
