#!/usr/bin/env bash
# With https and ssh inside, since an image need not have a git or an ssh program.
set -euo pipefail

# A delta whose base the pack has, and that does not resolve all the same, would be tried again without end.
sed -i '/has_entry(idx, &base)/{n;s/return 0;/{ git_error_set(GIT_ERROR_INDEXER, "a delta of the pack does not resolve"); return -1; }/}' \
    "$SOURCE/src/libgit2/indexer.c"
grep -q 'a delta of the pack does not resolve' "$SOURCE/src/libgit2/indexer.c"

# A delta that makes an object which the pack also has otherwise is refused; what was made of it is freed.
sed -i 's/return save_entry(idx, entry, pentry, entry_start);/if (save_entry(idx, entry, pentry, entry_start) == 0) return 0;/' \
    "$SOURCE/src/libgit2/indexer.c"
grep -q 'if (save_entry' "$SOURCE/src/libgit2/indexer.c"

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
