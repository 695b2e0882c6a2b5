/*
 * sshd takes root's powers for granted. A container may lack some of them; then it does without.
 */
#define _GNU_SOURCE
#include "image.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

bool can_change_user(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const unsigned needed = 1u << CAP_SETUID | 1u << CAP_SETGID;
    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

int chroot_if_allowed(const char *path, bool may_do_without) {
    if (chroot(path) == 0) return 0;
    return errno == EPERM && may_do_without ? 0 : -1;
}

/* Where users cannot be changed, everybody is the server's own user and has its groups. */
int image_setgroups(size_t count, const gid_t *groups) {
    if (setgroups(count, groups) == 0) return 0;
    return errno == EPERM && !can_change_user() && !on_host() ? 0 : -1;
}
