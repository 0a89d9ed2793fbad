#include "libbroker/cli/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libbroker/cli/out.h"
#include "libbroker/cli/reader.h"
#include "libbroker/cli/spawn.h"

enum { ERROR_LINE_MAX = 1024, LINES = 256, READS = 16 };

struct job {
    const struct job_kind *kind;
    broker_call *call;
    enum broker_call_model model;
    struct spawned p;       /* its process: descriptors are -1 once closed */
    struct cli_out to;      /* for its stdin */
    struct cli_reader from; /* its stdout */
    struct cli_reader errors;
    const char *line; /* `len` bytes: the answer that is next, if there is one */
    size_t len;
    bool have;
    bool complete;  /* nothing more comes for its stdin */
    bool exited;    /* `status` is what waitpid() said */
    bool answered;  /* the call is completed or failed */
    bool call_over; /* by the caller, or the connection */
    bool never_ran;
    int status;
    uint64_t ungranted; /* messages in `to` or taken from there, not yet asked for again */
    uint64_t answers;
    int64_t start_ns, kill_ns; /* 0: not killed */
    char last_error[ERROR_LINE_MAX + 1];
};

/* ------------------------------------------------------------------------------- ending --- */

static void fail(struct job *j, uint32_t code, const char *text)
{
    if (!j->answered && !j->call_over && j->model != BROKER_CALL_FORGET)
        (void)broker_call_fail(j->call, code, text);
    j->answered = true;
}

void job_kill(struct job *j, bool now)
{
    if (j->p.pid <= 0 || j->exited)
        return;
    if (j->kill_ns == 0 || now)
        (void)kill(-j->p.pid, now ? SIGKILL : SIGTERM);
    if (j->kill_ns == 0)
        j->kill_ns = cli_now_ns();
}

static bool failed(const struct job *j)
{
    return j->never_ran || !WIFEXITED(j->status) || WEXITSTATUS(j->status) != 0;
}

/* The process has ended and all it said was read: tell the caller. false: that finds no room. */
static bool conclude(struct job *j)
{
    char text[64];
    int r;

    if (j->answered || j->call_over)
        return true;
    if (failed(j)) {
        if (WIFEXITED(j->status))
            snprintf(text, sizeof text, "exit status %d", WEXITSTATUS(j->status));
        else
            snprintf(text, sizeof text, "killed by signal %d", WTERMSIG(j->status));
        fail(j, BROKER_CODE_APPLICATION, j->last_error[0] ? j->last_error : text);
        return true;
    }
    if (j->model == BROKER_CALL_RESPONSE) {
        if (!j->have)
            cli_reader_rest(&j->from, &j->line, &j->len);
        j->have = true;
        r = broker_call_send(j->call, j->line, j->len, &j->kind->answer);
        if (r == BROKER_NO_CREDIT)
            return false;
        j->answers += r == BROKER_OK;
    } else if (j->model != BROKER_CALL_FORGET) {
        (void)broker_call_complete(j->call);
        if (j->model == BROKER_CALL_CHANNEL && !j->complete) /* nobody reads what comes yet */
            (void)broker_call_cancel(j->call);
    }
    j->answered = true;
    return true;
}

/* ------------------------------------------------------------------------- to the command --- */

/* Lines, because that is what the other end of a pipe can tell apart. */
static void put_input(struct job *j, broker_message *m)
{
    size_t len;
    const void *data = broker_message_data(m, &len);
    bool line = j->model == BROKER_CALL_CHANNEL;

    if (j->p.in < 0)
        return; /* it does not read any more */
    if (cli_out_put(&j->to, data, len) < 0 || (line && cli_out_put(&j->to, "\n", 1) < 0)) {
        fail(j, BROKER_CODE_APPLICATION, "memory: none for what the command is to read");
        job_kill(j, false);
    }
}

void job_on_message(broker_call *c, broker_message *m, void *user)
{
    struct job *j = user;

    (void)c;
    j->ungranted++;
    put_input(j, m);
}

void job_on_complete(broker_call *c, void *user)
{
    struct job *j = user;

    (void)c;
    j->complete = true;
}

void job_on_end(broker_call *c, const struct broker_call_end *end, void *user)
{
    struct job *j = user;

    (void)c;
    j->complete = true;
    if (end->error == BROKER_OK || j->answered)
        return;
    j->call_over = true;
    job_kill(j, false);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Write what there is; ask for as much as has been written; close after the last. */
static void step_input(struct job *j)
{
    int r = j->p.in >= 0 ? cli_out_flush(&j->to) : 0;

    if (r < 0 && r != -EAGAIN) /* it has closed its stdin: what comes is not wanted */
        close_fd(&j->p.in);
    if (j->p.in < 0)
        j->to.begin = j->to.end = 0;
    if (cli_out_waiting(&j->to) > 0)
        return;
    if (j->complete)
        close_fd(&j->p.in);
    if (j->ungranted > 0 && !j->complete && !j->call_over &&
        broker_call_grant(j->call, (uint32_t)j->ungranted) == BROKER_OK)
        j->ungranted = 0;
}

/* ----------------------------------------------------------------------- from the command --- */

/* Is there an end of its stdout? Something it left behind may keep the pipe open: what is there
 * when it has ended is all that counts. */
static bool read_output(struct job *j, bool *ret_end)
{
    int r = j->p.out < 0 ? 0 : cli_reader_fill(&j->from);

    *ret_end = j->p.out < 0 || j->from.eof;
    if (r == -EFBIG) {
        fail(j, BROKER_CODE_APPLICATION, "too-large: the command's answer");
        job_kill(j, false);
        close_fd(&j->p.out);
    }
    if (r == -EAGAIN && j->exited)
        *ret_end = j->from.eof = true;
    return r == 0;
}

/* All of stdout, into memory. true: that was all. */
static bool gather_output(struct job *j)
{
    bool end = false;

    for (int i = 0; i < READS && !end; i++) {
        if (!read_output(j, &end))
            break;
    }
    return end;
}

/* Send lines for which there is credit, and read no more than that takes. true: those were all. */
static bool send_lines(struct job *j)
{
    bool end = false;

    for (int i = 0; i < LINES && broker_call_credit(j->call) > 0; i++) {
        int r = j->have ? 0 : cli_reader_line(&j->from, &j->line, &j->len);

        if (r == -ENODATA)
            return true;
        if (r == -EAGAIN && !read_output(j, &end) && !end)
            return false;
        if (r == -EAGAIN)
            continue;
        j->have = true;
        r = broker_call_send(j->call, j->line, j->len, &j->kind->answer);
        if (r == BROKER_NO_CREDIT)
            return false;
        j->have = false;
        j->answers += r == BROKER_OK;
        if (r < 0)
            return false; /* on_end says why */
    }
    /* The end needs no credit, so it must be seen without. */
    if (j->exited && !j->have && j->from.begin == j->from.end)
        (void)read_output(j, &end);
    return !j->have && j->from.eof && j->from.begin == j->from.end;
}

/* Forward its stderr, and remember the last line. */
static void step_errors(struct job *j)
{
    const char *line;
    size_t len;

    for (int i = 0; i < READS && j->p.err >= 0; i++) {
        int r = cli_reader_fill(&j->errors);

        while (cli_reader_line(&j->errors, &line, &len) == 0) {
            fprintf(stderr, "%.*s\n", (int)(len > ERROR_LINE_MAX ? ERROR_LINE_MAX : len), line);
            if (len == 0)
                continue;
            snprintf(j->last_error, sizeof j->last_error, "%.*s",
                     (int)(len > ERROR_LINE_MAX ? ERROR_LINE_MAX : len), line);
        }
        if (r == -EAGAIN)
            return;
        if (r < 0 || j->errors.eof)
            close_fd(&j->p.err);
    }
}

/* --------------------------------------------------------------------------------- life --- */

struct job *job_start(const struct job_kind *kind, broker_call *call)
{
    struct job *j = calloc(1, sizeof *j);
    char text[160];
    int r;

    if (!j) {
        (void)broker_call_fail(call, BROKER_CODE_REJECTED, "memory: none for another process");
        broker_call_free(call);
        return NULL;
    }
    j->kind = kind;
    j->call = call;
    j->model = broker_call_model(call);
    j->complete = broker_call_completed(call);
    j->start_ns = cli_now_ns();
    broker_call_set_user(call, j);
    r = spawn_for_call(kind->argv, call, &j->p);
    if (r < 0) {
        snprintf(text, sizeof text, "cannot start the command: %s", strerror(-r));
        cli_error(kind->cli, "%s: %s", kind->argv[0], strerror(-r));
        j->never_ran = j->exited = true;
        fail(j, BROKER_CODE_REJECTED, text);
        return j;
    }
    cli_out_init(&j->to, j->p.in);
    j->to.timed = false; /* it never waits */
    cli_reader_init(&j->from, j->p.out, kind->max_message);
    cli_reader_init(&j->errors, j->p.err, 1 << 20);
    /* The first message of a channel opens it: an empty one is no line. */
    if (j->model != BROKER_CALL_CHANNEL || broker_message_size(broker_call_request(call)) > 0)
        put_input(j, broker_call_request(call));
    if (j->model == BROKER_CALL_CHANNEL)
        (void)broker_call_grant(call, JOB_CREDIT);
    return j;
}

static void reap(struct job *j)
{
    if (!j->exited && waitpid(j->p.pid, &j->status, WNOHANG) == j->p.pid)
        j->exited = true;
}

bool job_step(struct job *j)
{
    bool told;

    if (j->never_ran)
        return true;
    reap(j); /* first: what it said before its end is there to be read */
    step_input(j);
    step_errors(j);
    if (j->kill_ns > 0 && cli_now_ns() - j->kill_ns > JOB_GRACE_MS * 1000000LL)
        job_kill(j, true);
    if (j->answered || j->call_over || j->model == BROKER_CALL_FORGET)
        return j->exited;
    told = j->model == BROKER_CALL_RESPONSE ? gather_output(j) : send_lines(j);
    return told && j->exited && conclude(j);
}

int job_waits(const struct job *j, struct pollfd *fds)
{
    bool wants_answer = !j->answered && !j->call_over && j->p.out >= 0 && !j->from.eof;
    int64_t left_ms = -1;

    /* of a stream only what there is credit for */
    if (j->model != BROKER_CALL_RESPONSE && (j->have || broker_call_credit(j->call) == 0))
        wants_answer = false;
    fds[0] = (struct pollfd){cli_out_waiting(&j->to) ? j->p.in : -1, POLLOUT, 0};
    fds[1] = (struct pollfd){wants_answer ? j->p.out : -1, POLLIN, 0};
    fds[2] = (struct pollfd){j->p.err, POLLIN, 0};
    fds[3] = (struct pollfd){j->exited ? -1 : j->p.ended, POLLIN, 0};
    if (j->kill_ns > 0 && !j->exited) {
        left_ms = JOB_GRACE_MS + 1 - (cli_now_ns() - j->kill_ns) / 1000000;
        left_ms = left_ms < 0 ? 0 : left_ms;
    }
    return (int)left_ms;
}

struct job_result job_result(const struct job *j)
{
    struct job_result r = {.word = "done", .answers = j->answers};

    r.ms = (uint64_t)(cli_now_ns() - j->start_ns) / 1000000;
    r.exit_status = j->never_ran           ? -1
                    : WIFEXITED(j->status) ? WEXITSTATUS(j->status)
                                           : 128 + WTERMSIG(j->status);
    if (j->call_over)
        r.word = "canceled";
    else if (failed(j))
        r.word = "failed";
    return r;
}

const broker_call *job_call(const struct job *j)
{
    return j->call;
}

void job_free(struct job *j)
{
    if (!j)
        return;
    close_fd(&j->p.in);
    close_fd(&j->p.out);
    close_fd(&j->p.err);
    close_fd(&j->p.ended);
    cli_out_fini(&j->to);
    cli_reader_fini(&j->from);
    cli_reader_fini(&j->errors);
    broker_call_free(j->call);
    free(j);
}
