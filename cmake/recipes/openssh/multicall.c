/*
 * The four programs of the SSH server in one file, and what sshd must believe to serve any image.
 *
 * The file is started under the name of a program: sshd, sshd-session, sshd-auth, ssh-keygen. A fifth name, no-shell, is
 * the shell of users in images that have none: sshd wants one that exists even for sftp, which never starts it.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int sshd_main(int argc, char **argv);
int sshd_session_main(int argc, char **argv);
int sshd_auth_main(int argc, char **argv);
int ssh_keygen_main(int argc, char **argv);

static int no_shell_main(int argc, char **argv) {
    (void)argc, (void)argv;
    fputs("This image has no shell.\n", stderr);
    return 127;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*main)(int, char **);
    } programs[] = {
        {"sshd", sshd_main},
        {"sshd-session", sshd_session_main},
        {"sshd-auth", sshd_auth_main},
        {"ssh-keygen", ssh_keygen_main},
        {"no-shell", no_shell_main},
        {"-no-shell", no_shell_main}, /* as a login shell */
    };
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strcmp(name, programs[i].name) == 0) return programs[i].main(argc, argv);
    fprintf(stderr, "started as '%s', must be sshd, sshd-session, sshd-auth or ssh-keygen\n", name);
    return 127;
}

/*
 * The programs call these in place of getpwnam, getpwuid and chroot: openssh.sh renames the calls.
 */

/* A shell that can be started, the entry's own if possible. */
static char *usable_shell(char *shell) {
    static char fallback[PATH_MAX];
    static char *const common[] = {"/bin/bash", "/bin/sh", "/usr/bin/sh", "/busybox/sh"};
    if (shell && *shell && access(shell, X_OK) == 0) return shell;
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (access(common[i], X_OK) == 0) return common[i];
    ssize_t length = readlink("/proc/self/exe", fallback, sizeof fallback - sizeof "no-shell");
    if (length <= 0) return shell;
    fallback[length] = '\0';
    strcpy(strrchr(fallback, '/') + 1, "no-shell");
    return fallback;
}

static struct passwd *usable(struct passwd *entry) {
    if (!entry) return NULL;
    /* A locked password locks the password; keys are another matter here. */
    if (entry->pw_passwd && entry->pw_passwd[0] == '!') entry->pw_passwd = "x";
    entry->pw_shell = usable_shell(entry->pw_shell);
    return entry;
}

/* Images built from nothing have no /etc/passwd. */
static struct passwd *made_up_root(void) {
    static struct passwd root;
    root = (struct passwd){
        .pw_name = "root", .pw_passwd = "x", .pw_uid = 0, .pw_gid = 0, .pw_gecos = "root", .pw_dir = "/root", .pw_shell = ""};
    return &root;
}

struct passwd *image_getpwnam(const char *name) {
    /* The user of the process that talks before anybody has logged in; no image has it. */
    static struct passwd sshd;
    if (strcmp(name, "sshd") == 0) {
        sshd = (struct passwd){
            .pw_name = "sshd", .pw_passwd = "*", .pw_uid = 65534, .pw_gid = 65534, .pw_gecos = "", .pw_dir = "/", .pw_shell = ""};
        return &sshd;
    }
    struct passwd *entry = getpwnam(name);
    if (!entry && strcmp(name, "root") == 0) entry = made_up_root();
    return usable(entry);
}

struct passwd *image_getpwuid(uid_t uid) {
    struct passwd *entry = getpwuid(uid);
    if (!entry && uid == 0) entry = made_up_root();
    return usable(entry);
}

/* Containers without CAP_SYS_CHROOT: the seccomp sandbox and the user change remain. */
int image_chroot(const char *path) {
    if (chroot(path) == 0) return 0;
    return errno == EPERM && strcmp(path, PRIVSEP_PATH) == 0 ? 0 : -1;
}
