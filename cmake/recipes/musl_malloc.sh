#!/usr/bin/env bash
# The allocator of musl itself, in place of zig's, whose memory grows with every task (docs/decisions/0011).
set -euo pipefail

mkdir -p "$WORK/malloc" "$IMAGE$PREFIX/lib"
cd "$WORK/malloc"
cp "$SOURCE"/src/malloc/mallocng/{meta.h,malloc.c,free.c,realloc.c,aligned_alloc.c,malloc_usable_size.c} .
cp "$RECIPES"/musl_malloc/{glue.h,allocator.c} .
# Where the last pages of a size are given back and wanted again at once, it keeps them from the second time on, not from
# the hundredth: a call to the engine or a request had up to four mmap(2) and munmap(2) each.
sed -i 's/\(bounces\[sc-7\]+1 <\) 100/\1 2/; s/\(bounces\[sc-7\] >=\) 100/\1 2/' meta.h
if [[ $(grep -c 'bounces.* 2)' meta.h) -ne 2 ]]; then
    echo "musl_malloc: meta.h has no limits of bounces to change" >&2
    exit 1
fi
# shellcheck disable=SC2086 # several words each
$CC $CFLAGS -std=gnu11 -D_GNU_SOURCE -Wno-macro-redefined -c allocator.c -o allocator.o
$AR rcs "$IMAGE$PREFIX/lib/libmusl_malloc.a" allocator.o
