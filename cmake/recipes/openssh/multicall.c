/*
 * The four programs of the SSH server in one file.
 *
 * The file is started under the name of a program: sshd, sshd-session, sshd-auth, ssh-keygen. A fifth name, no-shell, is
 * the shell of users in images that have none: sshd wants one that exists even for sftp, which never starts it.
 */
#include "image.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int sshd_main(int argc, char **argv);
int sshd_session_main(int argc, char **argv);
int sshd_auth_main(int argc, char **argv);
int ssh_keygen_main(int argc, char **argv);

/* The listener, which all sessions are below. */
static int listener_main(int argc, char **argv) {
    if (on_host()) return sshd_main(argc, argv);
    /* What a session leaves running stays below the server too, so that the runner knows it from what the job left. */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    /* As the job has it, where the container lets it be raised. */
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &unlimited);
    return sshd_main(argc, argv);
}

static int no_shell_main(int argc, char **argv) {
    (void)argc, (void)argv;
    fputs("This image has no shell. Copying files and forwarding ports work, commands do not.\n", stderr);
    return 127;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*main)(int, char **);
    } programs[] = {
        {"sshd", listener_main},
        {"sshd-session", sshd_session_main},
        {"sshd-auth", sshd_auth_main},
        {"ssh-keygen", ssh_keygen_main},
        {"no-shell", no_shell_main},
        {"-no-shell", no_shell_main}, /* as a login shell */
    };
    if (argc > 0) find_home(argv[0]);
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strcmp(name, programs[i].name) == 0) return programs[i].main(argc, argv);
    fprintf(stderr, "started as '%s', must be sshd, sshd-session, sshd-auth or ssh-keygen\n", name);
    return 127;
}
