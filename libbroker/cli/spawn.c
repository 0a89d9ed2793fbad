#include "libbroker/cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ------------------------------------------------------------------------ the environment --- */

const char *spawn_model_word(enum broker_call_model model)
{
    switch (model) {
    case BROKER_CALL_FORGET:
        return "forget";
    case BROKER_CALL_RESPONSE:
        return "request";
    case BROKER_CALL_STREAM:
        return "stream";
    case BROKER_CALL_CHANNEL:
        return "channel";
    }
    return "";
}

static char *joined(const char *name, const char *value)
{
    char *text;

    return asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text;
}

char *spawn_header_text(const char *name, const char *value)
{
    char *text;

    if (asprintf(&text, "BROKER_HEADER_%s=%s", name, value) < 0)
        return NULL;
    for (char *p = text + strlen("BROKER_HEADER_"); *name; name++, p++) {
        bool plain = (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z');

        if (*name >= 'a' && *name <= 'z')
            *p = (char)(*name - 'a' + 'A');
        else if (!plain)
            *p = '_';
    }
    return text;
}

struct environment {
    char **item; /* ended by NULL: ours, then, from `first_own` on, those made for the call */
    size_t n, first_own, cap;
};

/* Takes `text` over; false without memory (NULL is that, too). */
static bool add(struct environment *e, char *text)
{
    if (!text || e->n + 1 >= e->cap) {
        free(text);
        return false;
    }
    e->item[e->n++] = text;
    e->item[e->n] = NULL;
    return true;
}

static void free_environment(struct environment *e)
{
    for (size_t i = e->first_own; i < e->n; i++)
        free(e->item[i]);
    free(e->item);
}

static int make_environment(const broker_call *call, struct environment *ret)
{
    broker_message *m = broker_call_request(call);
    struct environment e = {.cap = 8};
    struct broker_header h;
    bool ok;

    while (environ[e.n])
        e.n++;
    for (size_t i = 0; broker_message_header_at(m, i, &h); i++)
        e.cap++;
    e.cap += e.n;
    e.first_own = e.n;
    e.item = calloc(e.cap, sizeof *e.item);
    if (!e.item)
        return -ENOMEM;
    memcpy(e.item, environ, e.n * sizeof *e.item);
    ok = add(&e, joined("BROKER_SERVICE", broker_call_service(call))) &&
         add(&e, joined("BROKER_METHOD", broker_call_method(call))) &&
         add(&e, joined("BROKER_MODEL", spawn_model_word(broker_call_model(call)))) &&
         add(&e, joined("BROKER_CONTENT_TYPE", broker_message_content_type(m)));
    for (size_t i = 0; ok && broker_message_header_at(m, i, &h); i++)
        ok = add(&e, spawn_header_text(h.name, h.value));
    if (!ok) {
        free_environment(&e);
        return -ENOMEM;
    }
    *ret = e;
    return 0;
}

/* ------------------------------------------------------------------------------ the pipes --- */

struct pipes {
    int in[2], out[2], err[2]; /* [0] to read from, [1] to write to */
};

static void close_pipe(int *fd)
{
    for (int i = 0; i < 2; i++) {
        if (fd[i] >= 0)
            close(fd[i]);
        fd[i] = -1;
    }
}

static void close_pipes(struct pipes *p)
{
    close_pipe(p->in);
    close_pipe(p->out);
    close_pipe(p->err);
}

/* Only our ends never wait: a command may rely on its own doing so. */
static int make_pipes(struct pipes *p, bool answers)
{
    int e;

    *p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if (pipe2(p->in, O_CLOEXEC) == 0 && pipe2(p->err, O_CLOEXEC) == 0 &&
        (!answers || pipe2(p->out, O_CLOEXEC) == 0) && fcntl(p->in[1], F_SETFL, O_NONBLOCK) == 0 &&
        fcntl(p->err[0], F_SETFL, O_NONBLOCK) == 0 &&
        (!answers || fcntl(p->out[0], F_SETFL, O_NONBLOCK) == 0))
        return 0;
    e = errno;
    close_pipes(p);
    return -e;
}

/* ---------------------------------------------------------------------------- the process --- */

static int set_attributes(posix_spawnattr_t *a)
{
    sigset_t none, ours;
    int e;

    sigemptyset(&none);
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGALRM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    e = posix_spawnattr_setsigmask(a, &none);
    if (e == 0)
        e = posix_spawnattr_setsigdefault(a, &ours);
    if (e == 0)
        e = posix_spawnattr_setpgroup(a, 0);
    if (e == 0)
        e = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                            POSIX_SPAWN_SETPGROUP);
    return e;
}

static int set_files(posix_spawn_file_actions_t *a, const struct pipes *p)
{
    int e = posix_spawn_file_actions_adddup2(a, p->in[0], STDIN_FILENO);

    if (e == 0 && p->out[1] >= 0)
        e = posix_spawn_file_actions_adddup2(a, p->out[1], STDOUT_FILENO);
    else if (e == 0)
        e = posix_spawn_file_actions_addopen(a, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    return e == 0 ? posix_spawn_file_actions_adddup2(a, p->err[1], STDERR_FILENO) : e;
}

static int start(char *const *argv, char *const *environment, const struct pipes *p, pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int e = posix_spawnattr_init(&attributes);

    if (e != 0)
        return -e;
    e = posix_spawn_file_actions_init(&files);
    if (e != 0) {
        posix_spawnattr_destroy(&attributes);
        return -e;
    }
    e = set_attributes(&attributes);
    if (e == 0)
        e = set_files(&files, p);
    if (e == 0)
        e = posix_spawnp(ret_pid, argv[0], &files, &attributes, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return -e;
}

/* Our ends of the pipes become `ret`'s. */
static int watch(struct pipes *p, struct spawned *ret)
{
    ret->ended = (int)syscall(SYS_pidfd_open, ret->pid, 0u);
    if (ret->ended < 0)
        return -errno;
    fcntl(ret->ended, F_SETFD, FD_CLOEXEC);
    ret->in = p->in[1];
    ret->out = p->out[0];
    ret->err = p->err[0];
    p->in[1] = p->out[0] = p->err[0] = -1;
    return 0;
}

int spawn_for_call(char *const *argv, const broker_call *call, struct spawned *ret)
{
    struct environment e;
    struct pipes p;
    int r;

    *ret = (struct spawned){.in = -1, .out = -1, .err = -1, .ended = -1};
    r = make_environment(call, &e);
    if (r < 0)
        return r;
    r = make_pipes(&p, broker_call_model(call) != BROKER_CALL_FORGET);
    if (r < 0)
        goto out;
    r = start(argv, e.item, &p, &ret->pid);
    if (r < 0)
        goto out_pipes;
    r = watch(&p, ret);
    if (r < 0) { /* nobody would hear of its end */
        kill(-ret->pid, SIGKILL);
        ret->pid = 0;
    }
out_pipes:
    close_pipes(&p);
out:
    free_environment(&e);
    return r;
}
