#!/usr/bin/env bash
# With https and ssh inside, since an image need not have a git or an ssh program.
set -euo pipefail

cmake_install \
    -DUSE_HTTPS=OpenSSL \
    -DUSE_SSH=libssh2 \
    -DUSE_SHA1=CollisionDetection \
    -DUSE_SHA256=HTTPS \
    -DUSE_HTTP_PARSER=builtin \
    -DREGEX_BACKEND=builtin \
    -DUSE_GSSAPI=OFF \
    -DUSE_NTLMCLIENT=OFF \
    -DBUILD_CLI=OFF \
    -DBUILD_TESTS=OFF
