/* cmd_serve.c - a service of which each call runs a command. */
#include <stdlib.h>
#include <string.h>

#include "libbroker/cli/format.h"
#include "libbroker/cli/job.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/spawn.h"

enum {
    JOBS = 16,
    JOBS_MAX = 1024,
    WAITING = 256,
    MAX_MESSAGE = 64 << 20,
    CLOSE_MS = 2000,
    LEAVE_MS = 1000
};

struct serve_options {
    uint64_t jobs, waiting, max_size;
    const char *type;
    struct cli_list headers;
};

static const struct cli_option options[] = {
    {"jobs", 'J', CLI_COUNT, offsetof(struct serve_options, jobs), "N",
     "at most N processes at once (16)", NULL},
    {"waiting", 0, CLI_COUNT, offsetof(struct serve_options, waiting), "N",
     "calls that may wait for one; others are refused (256)", NULL},
    {"header", 'H', CLI_LIST, offsetof(struct serve_options, headers), "KEY:VALUE",
     "a header of each answer; may be repeated", NULL},
    {"type", 0, CLI_TEXT, offsetof(struct serve_options, type), "TYPE",
     "content type of the answers", NULL},
    {"max-size", 0, CLI_SIZE, offsetof(struct serve_options, max_size), "SIZE",
     "largest message either way (64MiB)", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

struct serve {
    struct cli *cli;
    struct cli_link link;
    broker_service *service;
    struct job_kind kind;
    struct job **job; /* `n` at work, of `max` places */
    size_t n, max;
    struct pollfd *fds;
    bool stopping;
    int64_t stop_ns; /* since when */
    bool refused;    /* the broker does not want the service */
    int error, reason;
    char text[256];
};

static void on_serving(broker_service *s, int error, int reason, const char *text, void *user)
{
    struct serve *v = user;

    (void)s;
    if (error == BROKER_OK) {
        cli_note(v->cli, "serving");
        return;
    }
    v->refused = true;
    v->error = error;
    v->reason = reason;
    snprintf(v->text, sizeof v->text, "%s", text);
}

/* With --json: a line for each call that is over. */
static void report(const struct serve *v, const struct job *j)
{
    static const char *const format =
        ",\"model\":\"%s\",\"outcome\":\"%s\",\"exit\":%d,\"answers\":%llu,\"ms\":%llu}\n";
    struct job_result r = job_result(j);
    const broker_call *c = job_call(j);
    json_t *method;
    char *text;

    if (!v->cli->json)
        return;
    method = json_string(broker_call_method(c));
    text = json_dumps(method, JSON_ENCODE_ANY);
    printf("{\"method\":%s", text ? text : "null");
    printf(format, spawn_model_word(broker_call_model(c)), r.word, r.exit_status,
           (unsigned long long)r.answers, (unsigned long long)r.ms);
    fflush(stdout);
    free(text);
    json_decref(method);
}

/* Start a command for each call that waits, as far as there are places. */
static void take_calls(struct serve *v)
{
    broker_call *c;

    while (v->service && v->n < v->max && broker_service_next(v->service, 0, &c) == BROKER_OK) {
        struct job *j = job_start(&v->kind, c);

        if (j)
            v->job[v->n++] = j;
    }
}

/* Let all jobs do what they can; those that are over make room. */
static void step(struct serve *v)
{
    size_t left = 0;

    for (size_t i = 0; i < v->n; i++) {
        struct job *j = v->job[i];

        if (!job_step(j)) {
            v->job[left++] = j;
            continue;
        }
        report(v, j);
        job_free(j);
    }
    v->n = left;
}

static int wait_some(struct serve *v)
{
    int ms = v->stopping ? LEAVE_MS : BROKER_FOREVER;

    for (size_t i = 0; i < v->n; i++) {
        int its = job_waits(v->job[i], v->fds + 1 + i * JOB_FDS);

        if (its >= 0 && (ms < 0 || its < ms))
            ms = its;
    }
    return cli_link_poll(&v->link, ms, v->fds, 1 + v->n * JOB_FDS);
}

/* Calls that are not over, those that wait for a process included. */
static uint32_t open_calls(const struct serve *v)
{
    struct broker_service_stats stats = {.open = 0};

    if (v->service)
        broker_service_stats(v->service, &stats);
    return stats.open;
}

/* Told to stop: no new calls; told again: no old ones either. */
static void stop(struct serve *v)
{
    if (!v->stopping) {
        v->stopping = v->link.leaving = true;
        v->stop_ns = cli_now_ns();
        v->link.error = BROKER_OK; /* what went wrong before and was repaired */
        if (broker_drain(v->link.b) != BROKER_OK) {
            broker_unserve(v->service);
            v->service = NULL;
        } else if (open_calls(v) > 0) {
            cli_note(v->cli, "stopping; waiting for %u calls (interrupt again to leave)",
                     open_calls(v));
        }
    }
    for (size_t i = 0; *v->cli->interrupts > 1 && i < v->n; i++)
        job_kill(v->job[i], true);
}

/* No call is left, and none can be on its way: the broker has ended the connection, as it does when
 * it has nothing more for us; or it has had time to. */
static bool is_done(const struct serve *v)
{
    if (v->n > 0 || open_calls(v) > 0)
        return false;
    return !v->service || *v->cli->interrupts > 1 ||
           broker_state(v->link.b) == BROKER_STATE_CLOSED ||
           cli_now_ns() - v->stop_ns > LEAVE_MS * 1000000LL;
}

static int loop(struct serve *v)
{
    for (;;) {
        int r;

        take_calls(v);
        step(v);
        if (v->refused)
            return cli_link_fail(&v->link, "cannot serve", v->error, v->text);
        if (cli_interrupted(v->cli))
            stop(v);
        if (v->stopping && is_done(v))
            return *v->cli->interrupts > 1 ? CLI_FAILED : CLI_OK;
        r = wait_some(v);
        if (r != CLI_OK)
            return r;
    }
}

/* Nobody waits for them any more. */
static void kill_all(struct serve *v)
{
    for (size_t i = 0; i < v->n; i++)
        job_kill(v->job[i], true);
    while (v->n > 0) {
        struct pollfd fds[JOB_FDS];

        (void)job_waits(v->job[v->n - 1], fds);
        (void)poll(&fds[JOB_FDS - 1], 1, 1000);
        while (v->n > 0 && job_step(v->job[v->n - 1]))
            job_free(v->job[--v->n]);
    }
}

static int serve(struct serve *v, const struct serve_options *o)
{
    struct broker_options bo = {.max_message = v->kind.max_message};
    struct broker_serve_options so = {
        .max_calls = (uint32_t)(v->max + (o->waiting ? o->waiting : WAITING)),
        .manual_credit = true, /* a channel's messages are asked for once its command runs */
        .on_message = job_on_message,
        .on_complete = job_on_complete,
        .on_end = job_on_end,
        .on_serving = on_serving,
        .user = v,
    };
    int r = cli_link_open(&v->link, v->cli, &bo);

    if (r != CLI_OK)
        return r;
    r = broker_serve(v->link.b, v->cli->args[0], &so, &v->service);
    r = r < 0 ? cli_link_fail(&v->link, "cannot serve", r, NULL) : loop(v);
    kill_all(v);
    cli_link_close(&v->link, CLOSE_MS);
    return r;
}

static int check(struct cli *cli, const struct serve_options *o)
{
    if (o->jobs > JOBS_MAX)
        return cli_usage(cli, "--jobs is at most %d", JOBS_MAX);
    if (o->waiting > 1000000)
        return cli_usage(cli, "--waiting is at most 1000000");
    return CLI_OK;
}

static int run(struct cli *cli, void *given)
{
    const struct serve_options *o = given;
    struct serve v = {.cli = cli, .max = o->jobs ? o->jobs : JOBS};
    struct broker_header *headers = calloc(o->headers.n + 1, sizeof *headers);
    char **argv = calloc(cli->args_n, sizeof *argv); /* one word less, and NULL */
    int r = check(cli, o);

    v.job = calloc(v.max, sizeof(struct job *));
    v.fds = calloc(1 + v.max * JOB_FDS, sizeof *v.fds);
    if (r == CLI_OK && (!headers || !argv || !v.job || !v.fds))
        r = cli_error(cli, "out of memory");
    if (r == CLI_OK)
        r = cli_parse_headers(cli, &o->headers, headers);
    if (r == CLI_OK) {
        memcpy(argv, cli->args + 1, (cli->args_n - 1) * sizeof *argv);
        v.kind = (struct job_kind){
            .cli = cli, .argv = argv, .max_message = o->max_size ? o->max_size - 1 : MAX_MESSAGE};
        v.kind.answer = (struct broker_send_options){
            .content_type = o->type, .headers = headers, .header_count = o->headers.n};
        r = serve(&v, o);
    }
    free(v.fds);
    free(v.job);
    free(argv);
    free(headers);
    free(o->headers.item);
    return r;
}

const struct cli_command cli_serve = {
    .name = "serve",
    .args = "SERVICE -- COMMAND [ARGUMENTS]",
    .summary = "Serve calls: each runs a command",
    .more =
        "The request goes to the command's stdin, its stdout is the answer; of a stream each line\n"
        "is one, of a channel each message is also a line of stdin. If it fails, the last line of\n"
        "its stderr is the error. A call that is canceled ends its command (SIGTERM, then\n"
        "SIGKILL). No shell is asked. The environment has BROKER_SERVICE, BROKER_METHOD,\n"
        "BROKER_MODEL (forget, request, stream, channel), BROKER_CONTENT_TYPE, and\n"
        "BROKER_HEADER_NAME for each header. \"serving\" on stderr says that calls may come.\n\n"
        "  broker serve upper -- tr a-z A-Z          broker request upper/x hello\n"
        "  broker serve sums -J 4 -- ./sums.py       four at once, the method in BROKER_METHOD\n"
        "  broker serve numbers -- seq 1000000       broker stream numbers/all -n 10",
    .options = options,
    .options_size = sizeof(struct serve_options),
    .args_min = 2,
    .args_max = 4096,
    .run = run,
};
