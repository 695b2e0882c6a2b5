/*
 * Users as sshd must believe them to be: in an image anything may be missing, and whoever has the key is to get in.
 */
#define _GNU_SOURCE
#include "image.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The program by which system users are kept out, which says so and ends. */
static bool refuses_logins(const char *shell) {
    const char *slash = strrchr(shell, '/');
    const char *name = slash ? slash + 1 : shell;
    return strcmp(name, "nologin") == 0 || strcmp(name, "false") == 0;
}

/* A shell that can be started, the entry's own if possible. */
static char *usable_shell(char *shell) {
    static char *const common[] = {
        "/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/ash", "/bin/dash", "/busybox/sh",
    };
    if (shell && *shell && !refuses_logins(shell) && access(shell, X_OK) == 0) return shell;
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (access(common[i], X_OK) == 0) return common[i];
    return NO_SHELL;
}

/* The rule by which the job has its home (runner/job/job_user.cpp). */
static char *usable_home(char *home) {
    struct stat status;
    if (!home || home[0] != '/') return "/";
    if (stat(home, &status) == 0) return S_ISDIR(status.st_mode) ? home : "/";
    return errno != ENOENT || strstr(home, "nonexistent") ? "/" : home;
}

/*
 * The job's user may have other groups than the image says. The runner writes them when the job starts: a line each for
 * the name, the primary group and how many groups there are, then all of these. Returns their number, 0 for others.
 */
static int job_groups(const char *name, gid_t *primary, gid_t *groups, int room) {
    char job_name[256] = "";
    int count = 0, found = 0;
    FILE *file = fopen(HOME_FOLDER "/conf/job_user", "re");
    if (!file) return 0;
    if (fscanf(file, "%255[^\n]\n%u\n%d", job_name, primary, &count) == 3 && strcmp(job_name, name) == 0)
        while (found < count && found < room && fscanf(file, "%u", &groups[found]) == 1) found++;
    fclose(file);
    return found;
}

static struct passwd *usable(struct passwd *entry) {
    if (!entry) return NULL;
    /* A locked password locks the password; keys are another matter here. */
    if (entry->pw_passwd && entry->pw_passwd[0] == '!') entry->pw_passwd = "x";
    entry->pw_shell = usable_shell(entry->pw_shell);
    entry->pw_dir = usable_home(entry->pw_dir);
    gid_t primary, any[1];
    if (job_groups(entry->pw_name, &primary, any, 1) > 0) entry->pw_gid = primary;
    if (geteuid() == 0 && !can_change_user()) {
        /* The job does not run as somebody else either. */
        entry->pw_uid = geteuid();
        entry->pw_gid = getegid();
    }
    return entry;
}

/* "+name" and "-name" in /etc/passwd are orders to a name service. musl takes them for users, and "+" for root. */
static struct passwd *real_user(struct passwd *entry) {
    return entry && (entry->pw_name[0] == '+' || entry->pw_name[0] == '-') ? NULL : entry;
}

static struct passwd *make_up(const char *name, uid_t uid, char *home) {
    static char kept_name[64];
    static struct passwd entry;
    strncpy(kept_name, name, sizeof kept_name - 1);
    entry = (struct passwd){
        .pw_name = kept_name, .pw_passwd = "x", .pw_uid = uid, .pw_gid = 0, .pw_gecos = "", .pw_dir = home, .pw_shell = ""};
    return &entry;
}

/* A host's own users log in as its administrator has it: no shell, no login. */
static struct passwd *host_user(struct passwd *entry) {
    return entry && entry->pw_shell && refuses_logins(entry->pw_shell) ? NULL : entry;
}

/* A job's user need not have an entry; it is called by its number then. */
static struct passwd *numbered_user(const char *name) {
    const size_t length = strlen(name);
    if (length == 0 || length > 10 || strspn(name, "0123456789") != length) return NULL;
    const unsigned long long uid = strtoull(name, NULL, 10);
    if (uid >= UINT_MAX || real_user(getpwuid((uid_t)uid))) return NULL;
    return make_up(name, (uid_t)uid, "/");
}

struct passwd *image_getpwnam(const char *name) {
    /* The user of the process that talks before anybody has logged in; no image has it. */
    static struct passwd sshd;
    if (strcmp(name, "sshd") == 0) {
        const bool can = can_change_user();
        sshd = (struct passwd){.pw_name = "sshd",
                               .pw_passwd = "*",
                               .pw_uid = can ? 65534 : geteuid(),
                               .pw_gid = can ? 65534 : getegid(),
                               .pw_gecos = "",
                               .pw_dir = "/",
                               .pw_shell = ""};
        return &sshd;
    }
    struct passwd *entry = real_user(getpwnam(name));
    if (on_host()) return host_user(entry);
    /* Images built from nothing have no /etc/passwd. */
    if (!entry && strcmp(name, "root") == 0) entry = make_up("root", 0, "/root");
    if (!entry) entry = numbered_user(name);
    return usable(entry);
}

struct passwd *image_getpwuid(uid_t uid) {
    struct passwd *entry = real_user(getpwuid(uid));
    if (on_host()) return entry;
    if (!entry && uid == 0) entry = make_up("root", 0, "/root");
    return usable(entry);
}

int image_initgroups(const char *user, gid_t group) {
    if (on_host()) return initgroups(user, group);
    gid_t primary, groups[1024];
    const int count = job_groups(user, &primary, groups, sizeof groups / sizeof *groups);
    if (count > 0) return image_setgroups((size_t)count, groups);
    if (initgroups(user, group) == 0) return 0;
    return errno == EPERM && !can_change_user() ? 0 : -1;
}
