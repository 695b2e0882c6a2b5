/*
 * What a session's shell starts with: the job's variables, and for a login its working folder.
 *
 * sshd calls execve for the shell alone, be it a login's or one that runs a command; sftp is part of sshd and sees none
 * of this. A login shell reads /dstack/profile later on, by way of /etc/profile, and so gets what the job added there.
 * Shells that do not read it (zsh, fish), and images whose /etc cannot be written, have this.
 */
#include "image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* NAME=value, each with a NUL behind it; written by the runner when the job starts, so there may be none yet. */
#define VARIABLES "/dstack/environment"

/* The file with a NUL behind it, so that its last line ends in any case; NULL if there is none. */
static char *read_variables(size_t *size) {
    const int file = open(VARIABLES, O_RDONLY | O_CLOEXEC);
    struct stat status;
    char *text = NULL;
    if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
        const size_t room = (size_t)status.st_size;
        text = malloc(room + 1);
        *size = 0;
        for (ssize_t got = 1; text && got > 0 && *size < room; *size += got > 0 ? (size_t)got : 0)
            got = read(file, text + *size, room - *size);
        if (text) text[*size] = '\0';
    }
    if (file >= 0) close(file);
    return text;
}

static size_t name_length(const char *variable) {
    return strcspn(variable, "=");
}

static bool same_name(const char *one, const char *other) {
    const size_t length = name_length(one);
    return length == name_length(other) && strncmp(one, other, length) == 0;
}

/* What the session itself is: its terminal and its connection. */
static bool is_of_session(const char *variable) {
    return same_name(variable, "TERM") || same_name(variable, "DISPLAY") || strncmp(variable, "SSH_", 4) == 0;
}

static char **find(char **environment, const char *variable) {
    for (; *environment; environment++)
        if (same_name(*environment, variable)) return environment;
    return NULL;
}

static const char *value_of(char **environment, const char *name) {
    char **found = find(environment, name);
    return found ? *found + name_length(*found) + 1 : NULL;
}

/* The session's own variables with the job's put over them; just the session's if there is no memory for more. */
static char **with_job_variables(char *const environment[]) {
    size_t size = 0, count = 0, lines = 0;
    char *text = read_variables(&size);
    if (!text) return (char **)environment;
    while (environment[count]) count++;
    for (size_t i = 0; i <= size; i++) lines += text[i] == '\0';
    char **all = calloc(count + lines + 1, sizeof *all);
    if (!all) return (char **)environment;
    memcpy(all, environment, count * sizeof *all);
    for (char *variable = text; variable < text + size; variable += strlen(variable) + 1) {
        if (!strchr(variable, '=')) continue;
        char **present = find(all, variable);
        if (!present) all[count++] = variable;
        else if (!is_of_session(variable)) *present = variable;
    }
    return all;
}

int image_execve(const char *path, char *const arguments[], char *const environment[]) {
    if (on_host()) return execve(path, arguments, environment);
    char **all = with_job_variables(environment);
    const bool is_login = arguments[0] && arguments[0][0] == '-';
    const char *folder = value_of(all, "DSTACK_WORKING_DIR");
    /* A command stays in the home, where scp and rsync expect to be. */
    if (is_login && folder && chdir(folder) != 0) { /* the shell stays in the home too */
    }
    return execve(path, arguments, all);
}

/* sshd changes to homes and to / alone. A home that does not exist is no reason for words that every command would begin
 * with. */
int image_chdir(const char *path) {
    return chdir(path) == 0 ? 0 : chdir("/");
}
