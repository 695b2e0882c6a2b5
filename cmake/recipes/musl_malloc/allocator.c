// musl's allocator in one object file, with the rest of the family. All of them are here, so that none of the libc's own
// comes into a program: a pointer of one allocator must not reach the other.
#include "malloc.c"
#include "free.c"
#include "realloc.c"
#include "aligned_alloc.c"
#include "malloc_usable_size.c"

#include <wchar.h>

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = malloc(bytes);
    if (memory == NULL || is_allzero(memory)) return memory;
    return memset(memory, 0, bytes);
}

void *reallocarray(void *memory, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(memory, bytes);
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    if (alignment < sizeof(void *)) return EINVAL;
    void *memory = aligned_alloc(alignment, size);
    if (memory == NULL) return errno;
    *result = memory;
    return 0;
}

void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }
void *valloc(size_t size) { return aligned_alloc(get_page_size(), size); }

// zig's libc has these with its own allocator inlined.

char *strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

char *strndup(const char *text, size_t limit)
{
    const size_t length = strnlen(text, limit);
    char *copy = malloc(length + 1);
    if (copy == NULL) return NULL;
    copy[length] = '\0';
    return memcpy(copy, text, length);
}

wchar_t *wcsdup(const wchar_t *text)
{
    const size_t count = wcslen(text) + 1;
    wchar_t *copy = reallocarray(NULL, count, sizeof *copy);
    return copy == NULL ? NULL : wmemcpy(copy, text, count);
}
