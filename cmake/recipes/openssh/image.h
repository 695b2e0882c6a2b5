/* What the C library's calls become in the SSH server, so that it serves any image: openssh.sh renames them. */
#pragma once

#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* HOME_FOLDER is /dstack/ssh, given by openssh.sh: where the server lies in a container. */
#define EMPTY_FOLDER HOME_FOLDER "/empty"
#define NO_SHELL HOME_FOLDER "/bin/no-shell"

/* Called first, with the path that the program was started by. */
void find_home(const char *program);
/* Whether the server lies anywhere else: then it serves a host, whose users and files are taken as they are. */
bool on_host(void);
/* Whether that is the file with the keys that the runner put there. */
bool is_runners_keys(const char *path);

struct passwd *image_getpwnam(const char *name);
struct passwd *image_getpwuid(uid_t uid);

int image_stat(const char *path, struct stat *status);
int image_chroot(const char *path);
int image_chdir(const char *path);
int image_setgroups(size_t count, const gid_t *groups);
int image_initgroups(const char *user, gid_t group);

int image_execve(const char *path, char *const arguments[], char *const environment[]);

void *image_malloc(size_t size);
void image_free(void *memory);
void *image_calloc(size_t count, size_t size);
void *image_realloc(void *memory, size_t size);
void *image_reallocarray(void *memory, size_t count, size_t size);

void image_explicit_bzero(void *memory, size_t size);

/* chroot(2); success as well where this process may not, if it may do without. */
int chroot_if_allowed(const char *path, bool may_do_without);

/* Whether this process may become another user: the capabilities SETUID and SETGID. */
bool can_change_user(void);
