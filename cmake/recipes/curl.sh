#!/usr/bin/env bash
# HTTP and HTTPS, over TCP and Unix sockets, and nothing else. No path of CA certificates is compiled in, since it is
# another one on each distribution: OpenSSL's own (SSL_CERT_FILE, /etc/ssl) unless the program names one.
set -euo pipefail

cmake_install \
    -DHTTP_ONLY=ON \
    -DCURL_USE_OPENSSL=ON \
    -DCURL_ZLIB=ON \
    -DCURL_BROTLI=OFF \
    -DCURL_ZSTD=OFF \
    -DCURL_USE_LIBPSL=OFF \
    -DCURL_USE_LIBSSH2=OFF \
    -DCURL_USE_PKGCONFIG=OFF \
    -DUSE_LIBIDN2=OFF \
    -DUSE_NGHTTP2=OFF \
    -DCURL_DISABLE_ALTSVC=ON \
    -DCURL_DISABLE_AWS=ON \
    -DCURL_DISABLE_COOKIES=ON \
    -DCURL_DISABLE_DOH=ON \
    -DCURL_DISABLE_FORM_API=ON \
    -DCURL_DISABLE_HSTS=ON \
    -DCURL_DISABLE_KERBEROS_AUTH=ON \
    -DCURL_DISABLE_NEGOTIATE_AUTH=ON \
    -DCURL_DISABLE_NETRC=ON \
    -DCURL_DISABLE_NTLM=ON \
    -DCURL_DISABLE_SRP=ON \
    -DCURL_DISABLE_WEBSOCKETS=ON \
    -DCURL_CA_BUNDLE=none \
    -DCURL_CA_PATH=none \
    -DCURL_CA_FALLBACK=ON \
    -DBUILD_STATIC_LIBS=ON \
    -DBUILD_CURL_EXE=OFF \
    -DBUILD_LIBCURL_DOCS=OFF \
    -DBUILD_MISC_DOCS=OFF \
    -DENABLE_CURL_MANUAL=OFF \
    -DBUILD_TESTING=OFF \
    -DBUILD_EXAMPLES=OFF \
    -DPICKY_COMPILER=OFF
