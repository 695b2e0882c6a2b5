// What musl's allocator (src/malloc/mallocng) wants of the libc around it: a lock, atomics, memory of the kernel, a secret.
// Takes the place of musl's own file of this name, which only works inside of musl.
#pragma once

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Its names, which are too general for a program.
#define size_classes musl_malloc_size_classes
#define ctx musl_malloc_context
#define alloc_meta musl_malloc_alloc_meta
#define is_allzero musl_malloc_is_allzero

// A pointer that was not allocated, or freed twice, or a header that was written over: the program ends here.
#undef assert
#define assert(condition) ((condition) ? (void)0 : __builtin_trap())

#define USE_MADV_FREE 0
#define DISABLE_ALIGNED_ALLOC 0
#define brk(end) ((uintptr_t)syscall(SYS_brk, end))

static inline int a_ctz_32(uint32_t bits) { return __builtin_ctz(bits); }
static inline int a_clz_32(uint32_t bits) { return __builtin_clz(bits); }
// Returns what was there before.
static inline int a_cas(volatile int *place, int expected, int wanted)
{
    __atomic_compare_exchange_n(place, &expected, wanted, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}
static inline void a_or(volatile int *place, int bits) { __atomic_fetch_or(place, bits, __ATOMIC_SEQ_CST); }

static inline size_t get_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

// The kernel gives each process 16 random bytes; the libc's stack protector uses the first eight.
static inline uint64_t get_random_secret(void)
{
    uint64_t secret;
    memcpy(&secret, (const char *)getauxval(AT_RANDOM) + 8, sizeof secret);
    return secret;
}

// Held for some tens of nanoseconds at a time, so who finds it held looks again for a moment, also where others sleep
// already. With pthread_mutex_t, which then sleeps at once, many threads that allocate sleep and wake in turn.
enum { FREE, HELD, HELD_AND_AWAITED };
static int musl_malloc_lock = FREE;
// free() leaves errno as it is.
static inline void musl_malloc_futex(int operation, int value)
{
    const int before = errno;
    syscall(SYS_futex, &musl_malloc_lock, operation, value, 0);
    errno = before;
}
static inline void wrlock(void)
{
    for (int looks = 0; looks < 200; ++looks) {
        int expected = FREE;
        if (__atomic_load_n(&musl_malloc_lock, __ATOMIC_RELAXED) == FREE &&
            __atomic_compare_exchange_n(&musl_malloc_lock, &expected, HELD, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
#ifdef __x86_64__
        __builtin_ia32_pause();
#else
        __asm__ volatile("yield");
#endif
    }
    while (__atomic_exchange_n(&musl_malloc_lock, HELD_AND_AWAITED, __ATOMIC_ACQUIRE) != FREE)
        musl_malloc_futex(FUTEX_WAIT_PRIVATE, HELD_AND_AWAITED);
}
static inline void unlock(void)
{
    if (__atomic_exchange_n(&musl_malloc_lock, FREE, __ATOMIC_RELEASE) == HELD_AND_AWAITED)
        musl_malloc_futex(FUTEX_WAKE_PRIVATE, 1);
}
#define LOCK_OBJ_DEF static_assert(1, "the lock is above")
#define MT 1
#define RDLOCK_IS_EXCLUSIVE 1
static inline void rdlock(void) { wrlock(); }
static inline void upgradelock(void) {}
