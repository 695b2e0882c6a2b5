/*
 * Two functions that copying files spends its time in.
 */
#include "image.h"

#include <stdlib.h>
#include <string.h>

/* Of libcrypto, by itself not in its headers: written for each processor, where sshd's own is plain C. */
typedef struct poly1305_context POLY1305;
size_t Poly1305_ctx_size(void);
void Poly1305_Init(POLY1305 *context, const unsigned char key[32]);
void Poly1305_Update(POLY1305 *context, const unsigned char *text, size_t length);
void Poly1305_Final(POLY1305 *context, unsigned char tag[16]);

/* sshd's own is weak, so the linker takes this. */
void poly1305_auth(unsigned char tag[16], const unsigned char *text, size_t length, const unsigned char key[32]) {
    static union {
        double aligned;
        unsigned char bytes[512];
    } context;
    if (Poly1305_ctx_size() > sizeof context) abort();
    POLY1305 *state = (POLY1305 *)&context;
    Poly1305_Init(state, key);
    Poly1305_Update(state, text, length);
    Poly1305_Final(state, tag);
    image_explicit_bzero(&context, sizeof context);
}

/* The C library's own takes eight times as long. */
void image_explicit_bzero(void *memory, size_t size) {
    memset(memory, 0, size);
    /* Whatever sees that nobody reads it afterwards does not see through this. */
    __asm__ volatile("" : : "r"(memory) : "memory");
}
