#include "libbroker/cli/call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/format.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/reader.h"
#include "libbroker/cli/text.h"

enum { CREDIT = 256, MAX_MESSAGE = 64 << 20, REQUEST_MS = 10000, CLOSE_MS = 2000, LINES = 256 };

/* A call at work. */
struct call {
    struct cli *cli;
    const struct cli_call_options *o;
    enum broker_call_model model;
    struct cli_link link;
    struct cli_out out;
    struct cli_reader in; /* the request; of a channel, its lines */
    broker_call *call;
    struct broker_header *headers;
    uint64_t granted, received;
    const char *line; /* `len` bytes: the next to go up, if there is one */
    size_t len;
    bool have;
    bool up;      /* lines may still go up */
    bool blocked; /* whoever reads stdout pauses */
    bool ended;
    int out_error; /* -errno of the output */
    struct broker_call_end end;
    char end_text[512];
};

/* ---------------------------------------------------------------------------- callbacks --- */

/* On a terminal: lines and tabs as they are, other control characters made visible. */
static int put_shown(struct call *c, const char *data, size_t len, bool newline)
{
    int r = 0;

    for (size_t i = 0; i < len && r == 0;) {
        size_t n = 0;
        char *plain;

        while (i + n < len && data[i + n] != '\n' && data[i + n] != '\t')
            n++;
        plain = cli_plain(data + i, n);
        r = plain ? cli_out_put(&c->out, plain, strlen(plain)) : cli_out_put(&c->out, data + i, n);
        free(plain);
        i += n;
        if (r == 0 && i < len)
            r = cli_out_put(&c->out, data + i++, 1);
    }
    return r < 0 || !newline ? r : cli_out_put(&c->out, "\n", 1);
}

static int put_answer(struct call *c, const broker_message *m)
{
    size_t len = broker_message_size(m);
    const char *data = broker_message_data(m, NULL);
    /* One answer is a text; each of several is a line. */
    bool newline = !c->o->no_newline &&
                   (c->model != BROKER_CALL_RESPONSE || len == 0 || data[len - 1] != '\n');
    int r;

    if (c->cli->json) {
        r = cli_out_put(&c->out, "{", 1);
        if (r == 0)
            r = cli_put_message(&c->out, m);
        return r < 0 ? r : cli_out_put(&c->out, "}\n", 2);
    }
    if (!c->o->hex && isatty(c->out.fd))
        return put_shown(c, data, len, newline);
    if (!c->o->hex)
        return cli_format_raw(&c->out, m, &newline);
    r = cli_put_hex(&c->out, data, len);
    return r < 0 ? r : cli_out_put(&c->out, "\n", 1);
}

static void flush(struct call *c)
{
    int r = cli_out_flush(&c->out);

    c->blocked = r == -EAGAIN;
    if (r < 0 && r != -EAGAIN)
        c->out_error = r;
}

static bool enough(const struct call *c)
{
    return c->o->count > 0 && c->received >= c->o->count;
}

static void on_message(broker_call *call, broker_message *m, void *user)
{
    struct call *c = user;

    (void)call;
    if (enough(c) || c->out_error)
        return;
    c->received++;
    if (put_answer(c, m) < 0)
        c->out_error = -ENOMEM;
    if (cli_out_waiting(&c->out) >= CLI_OUT_BULK && !c->blocked)
        flush(c);
}

static void on_end(broker_call *call, const struct broker_call_end *end, void *user)
{
    struct call *c = user;

    (void)call;
    c->ended = true;
    c->end = *end;
    snprintf(c->end_text, sizeof c->end_text, "%s", end->text);
    c->end.text = c->end_text;
}

/* ------------------------------------------------------------------------------- credit --- */

/* How many more answers to ask for, so that the window is full again. */
static uint32_t due_credit(const struct call *c)
{
    uint64_t window = c->o->credit ? c->o->credit : CREDIT, want;
    uint64_t under_way = c->granted - c->received;

    if (under_way > window / 2)
        return 0;
    want = window - under_way;
    if (c->o->count > 0 && want > c->o->count - c->granted)
        want = c->o->count - c->granted;
    return want > BROKER_UNLIMITED ? BROKER_UNLIMITED : (uint32_t)want;
}

static void renew(struct call *c)
{
    uint32_t n = due_credit(c);

    if (n > 0 && !c->ended && c->model != BROKER_CALL_RESPONSE &&
        broker_call_grant(c->call, n) == BROKER_OK)
        c->granted += n;
}

/* ----------------------------------------------------------------------------- the input --- */

static int read_input(struct call *c)
{
    int r = cli_reader_fill(&c->in);

    if (r == -EFBIG)
        return cli_error(c->cli, "%s is longer than %zu bytes (--max-size)",
                         c->model == BROKER_CALL_CHANNEL ? "a line" : "the request", c->in.max);
    if (r < 0 && r != -EINTR && r != -EAGAIN)
        return cli_error(c->cli, "%s: %s", c->o->file ? c->o->file : "stdin", strerror(-r));
    return CLI_OK;
}

/* Send up lines for which there is credit. 0 there is no credit for more, -EAGAIN another has to be
 * read, -ENODATA there are no more, or a BROKER_ code in *ret_error. */
static int send_lines(struct call *c, int *ret_error)
{
    for (int i = 0; i < LINES && broker_call_credit(c->call) > 0; i++) {
        int r = c->have ? 0 : cli_reader_line(&c->in, &c->line, &c->len);

        if (r < 0)
            return r;
        c->have = true;
        r = broker_call_send(c->call, c->line, c->len, NULL);
        if (r == BROKER_NO_CREDIT) /* too much waits to be written */
            return 0;
        c->have = false;
        *ret_error = r;
        if (r < 0)
            return 0;
    }
    return !c->have && c->in.eof && c->in.begin == c->in.end ? -ENODATA : 0;
}

/* Send what there is and may go. true: another line has to be read. */
static bool send_up(struct call *c, int *ret_error)
{
    int r;

    *ret_error = BROKER_OK;
    if (!c->up)
        return false;
    r = send_lines(c, ret_error);
    if (r == -ENODATA)
        *ret_error = broker_call_complete(c->call);
    c->up = r != -ENODATA && *ret_error == BROKER_OK;
    if (c->ended || *ret_error == BROKER_CANCELED || *ret_error == BROKER_ENDED)
        *ret_error = BROKER_OK; /* the server wants no more, which is fine; or has said why */
    return r == -EAGAIN;
}

/* Read until the request is there: all of the input, or a channel's first line. */
static int read_request(struct call *c, const char **ret_data, size_t *ret_len)
{
    struct pollfd in = {.fd = c->in.fd, .events = POLLIN};
    int code;

    for (;;) {
        int r = -EAGAIN;

        if (c->model == BROKER_CALL_CHANNEL) {
            r = cli_reader_line(&c->in, ret_data, ret_len);
        } else if (c->in.eof) {
            cli_reader_rest(&c->in, ret_data, ret_len);
            r = 0;
        }
        if (r == 0 || r == -ENODATA)
            return CLI_OK;
        code = cli_link_wait(&c->link, BROKER_FOREVER, &in);
        if (code == CLI_OK && in.revents)
            code = read_input(c);
        if (code == CLI_OK && cli_interrupted(c->cli))
            code = CLI_FAILED;
        if (code != CLI_OK)
            return code;
    }
}

/* ------------------------------------------------------------------------------ running --- */

static int fail(struct call *c, int error, const char *text)
{
    int code = cli_link_fail(&c->link, NULL, error, text);

    return code == CLI_FAILED ? cli_exit_code(error, c->end.reason) : code;
}

/* Why to end, if there is a reason: an exit code, else -1. */
static int verdict(struct call *c)
{
    if (c->out_error == -EPIPE)
        return CLI_OK; /* whoever read has had enough */
    if (c->out_error)
        return cli_error(c->cli, "stdout: %s", strerror(-c->out_error));
    if (c->blocked)
        return cli_interrupted(c->cli) ? CLI_FAILED : -1; /* what is written counts */
    if (enough(c))
        return CLI_OK;
    if (c->ended)
        return c->end.error == BROKER_OK ? CLI_OK : fail(c, c->end.error, c->end.text);
    if (cli_interrupted(c->cli))
        return c->model == BROKER_CALL_RESPONSE ? CLI_FAILED : CLI_OK;
    return -1;
}

static int loop(struct call *c)
{
    for (;;) {
        struct pollfd fds[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
        int code, error = BROKER_OK;

        flush(c);
        if (!c->blocked)
            renew(c);
        code = verdict(c);
        if (code >= 0)
            return code;
        if (send_up(c, &error))
            fds[1] = (struct pollfd){.fd = c->in.fd, .events = POLLIN};
        if (error != BROKER_OK)
            return fail(c, error, NULL);
        if (c->blocked)
            fds[2] = (struct pollfd){.fd = c->out.fd, .events = POLLOUT};
        code = cli_link_poll(&c->link, BROKER_FOREVER, fds, 3);
        if (code == CLI_OK && fds[1].revents)
            code = read_input(c);
        if (code != CLI_OK) {
            flush(c); /* what came before */
            return code;
        }
    }
}

/* How long the call may take: as said, or, for a question, ten seconds and what it may wait. */
static uint32_t limit_ms(const struct call *c)
{
    uint64_t ms = c->cli->timeout_ms;

    if (ms == 0 && c->model == BROKER_CALL_RESPONSE)
        ms = REQUEST_MS + c->o->wait_ms;
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static int open_call(struct call *c, const char *data, size_t len)
{
    struct broker_call_options o = {
        .content_type = c->o->type,
        .headers = c->headers,
        .header_count = c->o->headers.n,
        .wait_ms = c->o->wait_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)c->o->wait_ms,
        .timeout_ms = limit_ms(c),
        .manual_credit = true,
        .on_message = on_message,
        .on_end = on_end,
        .user = c,
    };
    int r;

    o.credit = due_credit(c);
    c->granted = o.credit;
    r = broker_call_open(c->link.b, c->model, c->cli->args[0], data, len, &o, &c->call);
    return r < 0 ? cli_link_fail(&c->link, "cannot call", r, NULL) : CLI_OK;
}

static int call(struct call *c)
{
    struct broker_options bo = {.max_message = c->in.max};
    const char *data = c->cli->args_n > 1 ? c->cli->args[1] : NULL;
    bool read = c->o->file || (data && strcmp(data, "-") == 0) ||
                (!data && c->model == BROKER_CALL_CHANNEL);
    size_t len = data ? strlen(data) : 0;
    int code = cli_link_open(&c->link, c->cli, &bo);

    if (code != CLI_OK)
        return code;
    cli_out_init(&c->out, STDOUT_FILENO);
    if (read) {
        data = "";
        len = 0;
        code = read_request(c, &data, &len);
    }
    c->up = c->model == BROKER_CALL_CHANNEL;
    if (code == CLI_OK)
        code = open_call(c, data, len);
    if (code == CLI_OK)
        code = loop(c);
    broker_call_free(c->call);
    cli_link_close(&c->link, CLOSE_MS);
    cli_out_fini(&c->out);
    return code;
}

static int check(struct cli *cli, const struct cli_call_options *o)
{
    if (o->credit > BROKER_UNLIMITED)
        return cli_usage(cli, "--credit is at most %u", BROKER_UNLIMITED);
    if ((int)cli->json + o->hex + o->no_newline > 1)
        return cli_usage(cli, "--json, --hex and --no-newline exclude each other");
    if (o->file && cli->args_n > 1)
        return cli_usage(cli, "DATA does not go with --file");
    return CLI_OK;
}

static int open_input(struct call *c)
{
    int fd = STDIN_FILENO;

    if (c->o->file && strcmp(c->o->file, "-") != 0) {
        fd = open(c->o->file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return cli_error(c->cli, "%s: %s", c->o->file, strerror(errno));
    }
    cli_reader_init(&c->in, fd, c->o->max_size ? c->o->max_size - 1 : MAX_MESSAGE);
    return CLI_OK;
}

int cli_call_run(struct cli *cli, enum broker_call_model model, const struct cli_call_options *o)
{
    struct call c = {.cli = cli, .o = o, .model = model, .in = {.fd = -1}};
    int r = check(cli, o);

    c.headers = calloc(o->headers.n + 1, sizeof *c.headers);
    if (r == CLI_OK && !c.headers)
        r = cli_error(cli, "out of memory");
    if (r == CLI_OK)
        r = cli_parse_headers(cli, &o->headers, c.headers);
    if (r == CLI_OK)
        r = open_input(&c);
    if (r == CLI_OK)
        r = call(&c);
    if (c.in.fd > STDERR_FILENO)
        close(c.in.fd);
    cli_reader_fini(&c.in);
    free(c.headers);
    return r;
}
