/*
 * Where the server lies, and by that whom it serves.
 *
 * The path of its empty folder is compiled in, as /dstack/ssh/empty. /dstack is a container's; on a host the server lies in a
 * folder of its own, and its empty folder beside its programs.
 */
#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char empty[4096] = EMPTY_FOLDER;

void find_home(const char *program) {
    const char *bin = strstr(program, "/bin/");
    for (const char *next = bin; next; next = strstr(next + 1, "/bin/")) bin = next;
    if (program[0] == '/' && bin) snprintf(empty, sizeof empty, "%.*s/empty", (int)(bin - program), program);
}

bool on_host(void) {
    return strcmp(empty, EMPTY_FOLDER) != 0;
}

static const char *real_path(const char *path) {
    return strcmp(path, EMPTY_FOLDER) == 0 ? empty : path;
}

bool is_runners_keys(const char *path) {
    const size_t length = strlen(empty) - strlen("/empty");
    return strncmp(path, empty, length) == 0 && strcmp(path + length, "/conf/authorized_keys") == 0;
}

int image_stat(const char *path, struct stat *status) {
    /* That an image has one is nothing that its user decided. */
    if (!on_host() && strcmp(path, "/etc/nologin") == 0) {
        errno = ENOENT;
        return -1;
    }
    return stat(real_path(path), status);
}

/* In a container without CAP_SYS_CHROOT the seccomp sandbox and the user change remain. */
int image_chroot(const char *path) {
    return chroot_if_allowed(real_path(path), strcmp(path, EMPTY_FOLDER) == 0 && !on_host());
}
