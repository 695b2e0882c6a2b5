/*
 * Which files sshd believes.
 *
 * StrictModes is on for the users' own ~/.ssh/authorized_keys. The runner's file is believed in any case: an image or a
 * volume may have given any mode or owner to the folders above it, and nobody but the runner has put a key there.
 */
#include "image.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool another_may_write(const struct stat *status, uid_t owner) {
    return (status->st_uid != 0 && status->st_uid != owner) || (status->st_mode & (S_IWGRP | S_IWOTH));
}

/* 0, or -1 with the reason in `reason`. sshd's own stops at the home; whoever may write above it may replace the home. */
int safe_path_fd(int fd, const char *file, struct passwd *user, char *reason, size_t size) {
    char path[PATH_MAX];
    struct stat status;
    if (is_runners_keys(file)) return 0;
    if (!realpath(file, path) || fstat(fd, &status) != 0) {
        snprintf(reason, size, "%s is ignored: it cannot be looked at: %s", file, strerror(errno));
        return -1;
    }
    while (!another_may_write(&status, user->pw_uid)) {
        if (strcmp(path, "/") == 0) return 0;
        char *slash = strrchr(path, '/');
        slash[slash == path] = '\0'; /* the folder above; for /x that is / */
        if (stat(path, &status) != 0) {
            snprintf(reason, size, "%s is ignored: %s cannot be looked at: %s", file, path, strerror(errno));
            return -1;
        }
    }
    snprintf(reason, size, "%s is ignored: another user may write %s", file, path);
    return -1;
}
