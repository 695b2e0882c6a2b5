#!/usr/bin/env bash
# The allocator of musl itself, in place of zig's, whose memory grows with every task (docs/decisions/0011).
set -euo pipefail

mkdir -p "$WORK/malloc" "$IMAGE$PREFIX/lib"
cd "$WORK/malloc"
cp "$SOURCE"/src/malloc/mallocng/{meta.h,malloc.c,free.c,realloc.c,aligned_alloc.c,malloc_usable_size.c} .
cp "$RECIPES"/musl_malloc/{glue.h,allocator.c} .
# shellcheck disable=SC2086 # several words each
$CC $CFLAGS -std=gnu11 -D_GNU_SOURCE -Wno-macro-redefined -c allocator.c -o allocator.o
$AR rcs "$IMAGE$PREFIX/lib/libmusl_malloc.a" allocator.o
