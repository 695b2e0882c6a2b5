#!/usr/bin/env bash
# The allocator of musl itself, in place of zig's, whose memory grows with every task (docs/decisions/0011).
set -euo pipefail

mkdir -p "$WORK/malloc" "$IMAGE$PREFIX/lib"
cd "$WORK/malloc"
cp "$SOURCE"/src/malloc/mallocng/{meta.h,malloc.c,free.c,realloc.c,aligned_alloc.c,malloc_usable_size.c} .
cp "$RECIPES"/musl_malloc/{glue.h,allocator.c} .
# It keeps the last pages of each size up to 26 KB once it has them. As it is, it does so for a size whose pages were given
# back and wanted again at once a hundred times: until then a call to the engine or a request has up to four mmap(2) and
# munmap(2) each, and a program's start has a hundred.
sed -i 's/\(bounces\[sc-7\] >=\) 100/\1 0/' meta.h
if ! grep -q 'bounces.* 0)' meta.h; then
    echo "musl_malloc: meta.h has no limit of bounces to change" >&2
    exit 1
fi
# shellcheck disable=SC2086 # several words each
$CC $CFLAGS -std=gnu11 -D_GNU_SOURCE -Wno-macro-redefined -c allocator.c -o allocator.o
$AR rcs "$IMAGE$PREFIX/lib/libmusl_malloc.a" allocator.o
