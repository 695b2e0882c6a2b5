/*
 * Large blocks of memory, kept for the next use.
 *
 * The C library's allocator hands each large block back to the kernel when it is freed. sshd allocates and frees one for
 * every packet of a file that is copied, and would spend most of its time having the kernel clear pages. So large blocks
 * come from a range of addresses of their own, and stay there. A process has one thread here.
 */
#include "image.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Blocks have a size of SMALLEST << n; each begins with a header, which also keeps it aligned. */
enum { SMALLEST = 32 << 10, SIZES = 8, RANGE = 64 << 20, HEADER = 64 };

struct block {
    size_t kind;        /* n */
    struct block *next; /* while it is free */
};

static char *range, *unused; /* the range's begin, and where nothing was cut off yet */
static struct block *freed[SIZES];

static bool is_ours(const void *memory) {
    return range && (uintptr_t)memory - (uintptr_t)range < RANGE;
}

static struct block *block_of(void *memory) {
    return (struct block *)((char *)memory - HEADER);
}

static size_t room_in(void *memory) {
    return ((size_t)SMALLEST << block_of(memory)->kind) - HEADER;
}

/* NULL for what is too small, too large, or more than the range has: the C library's to give. */
static void *take(size_t size) {
    size_t kind = 0;
    if (size < SMALLEST || size > ((size_t)SMALLEST << (SIZES - 1)) - HEADER) return NULL;
    while (((size_t)SMALLEST << kind) - HEADER < size) kind++;
    struct block *block = freed[kind];
    if (block) {
        freed[kind] = block->next;
        return (char *)block + HEADER;
    }
    if (!range) {
        void *all = mmap(NULL, RANGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all == MAP_FAILED) return NULL;
        range = unused = all;
    }
    if ((size_t)(range + RANGE - unused) < (size_t)SMALLEST << kind) return NULL;
    block = (struct block *)unused;
    unused += (size_t)SMALLEST << kind;
    block->kind = kind;
    return (char *)block + HEADER;
}

void *image_malloc(size_t size) {
    void *memory = take(size);
    return memory ? memory : malloc(size);
}

void image_free(void *memory) {
    if (!is_ours(memory)) {
        free(memory);
        return;
    }
    struct block *block = block_of(memory);
    block->next = freed[block->kind];
    freed[block->kind] = block;
}

void *image_calloc(size_t count, size_t size) {
    size_t total;
    void *memory = __builtin_mul_overflow(count, size, &total) ? NULL : take(total);
    return memory ? memset(memory, 0, total) : calloc(count, size);
}

void *image_realloc(void *memory, size_t size) {
    if (!is_ours(memory)) {
        /* How large it is only the C library knows. */
        return realloc(memory, size);
    }
    if (size <= room_in(memory) && size > room_in(memory) / 4) return memory;
    void *other = image_malloc(size);
    if (other) {
        memcpy(other, memory, size < room_in(memory) ? size : room_in(memory));
        image_free(memory);
    }
    return other;
}

void *image_reallocarray(void *memory, size_t count, size_t size) {
    size_t total;
    if (!__builtin_mul_overflow(count, size, &total)) return image_realloc(memory, total);
    errno = ENOMEM;
    return NULL;
}
