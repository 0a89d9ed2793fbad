/* store_export.c - a journal as lines of JSON (docs/store-tools.md): a line first that says what it
 * is, for each queue its definition and its messages, and a last line with how many there were. */
#include "libbroker/cli/store.h"

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/base/headers.h"
#include "libbroker/cli/progress.h"
#include "libbroker/cli/text.h"

struct export
{
    struct cli *cli;
    const struct cli_store_options *o;
    struct tool *tool;
    struct cli_out out;
    struct cli_progress progress;
    const char *name; /* of the queue whose messages are written */
    uint64_t queues, messages, bytes, damaged;
};

static int put(struct cli_out *o, const char *text)
{
    return cli_out_put(o, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static int putf(struct cli_out *o, const char *format, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return put(o, text);
}

/* Names and headers are UTF-8: the broker takes no others. */
static int put_text(struct cli_out *o, struct slice s)
{
    return cli_is_utf8(s.p, s.n) ? cli_put_json(o, s.p, s.n) : -EILSEQ;
}

static int put_member(struct cli_out *o, const char *key, struct slice s)
{
    int r = putf(o, ",\"%s\":", key);

    return r < 0 ? r : put_text(o, s);
}

/* As text if it is, else in base64. */
static int put_data(struct cli_out *o, struct slice s)
{
    int r;

    if (cli_is_utf8(s.p, s.n))
        return put_member(o, "data", s);
    r = put(o, ",\"base64\":\"");
    if (r == 0)
        r = cli_put_base64(o, s.p, s.n);
    return r < 0 ? r : put(o, "\"");
}

/* --------------------------------------------------------------------------- headers --- */

static size_t count_of(struct slice headers, struct slice name)
{
    struct header h;
    size_t n = 0;

    while (headers_next(&headers, &h) > 0)
        n += slice_eq(h.name, name);
    return n;
}

/* All values of a name, which has more than one. */
static int put_values(struct cli_out *o, struct slice headers, struct slice name)
{
    const char *before = "[";
    struct header h;
    int r = 0;

    while (r == 0 && headers_next(&headers, &h) > 0) {
        if (!slice_eq(h.name, name))
            continue;
        r = put(o, before);
        if (r == 0)
            r = put_text(o, h.value);
        before = ",";
    }
    return r < 0 ? r : put(o, "]");
}

/* An object; where a name is there more than once, its value is an array. `bare`: names
 * without the $ that they begin with. */
static int put_headers(struct cli_out *o, const char *key, struct slice headers, bool bare)
{
    struct slice rest = headers;
    struct header h;
    const char *before = "";
    int r = putf(o, ",\"%s\":{", key);

    while (r == 0 && headers_next(&rest, &h) > 0) {
        struct slice so_far = slice_of(headers.p, (size_t)(rest.p - headers.p));
        size_t n = count_of(headers, h.name);

        if (n > 1 && count_of(so_far, h.name) > 1)
            continue; /* written with the first */
        r = put(o, before);
        if (r == 0)
            r = put_text(o, bare && *h.name.p == '$' ? slice_from(h.name, 1) : h.name);
        if (r == 0)
            r = put(o, ":");
        if (r == 0)
            r = n > 1 ? put_values(o, headers, h.name) : put_text(o, h.value);
        before = ",";
    }
    return r < 0 ? r : put(o, "}");
}

/* ----------------------------------------------------------------------------- lines --- */

/* Write what has gathered, however long the reader takes. */
static int flush(struct export *e)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    int r;

    while ((r = cli_out_flush(&e->out)) == -EAGAIN) {
        (void)ppoll(&out, 1, NULL, &e->cli->waiting);
        if (cli_interrupted(e->cli))
            return -ECANCELED;
    }
    return r;
}

static int end_line(struct export *e)
{
    int r = put(&e->out, "}\n");

    if (r < 0 || cli_out_waiting(&e->out) < CLI_OUT_BULK)
        return r;
    return cli_progress(&e->progress, e->bytes, tool_facts(e->tool)->data) ? flush(e) : -ECANCELED;
}

static int write_head(struct export *e, const char *path)
{
    int r = put(&e->out, "{\"broker_export\":1,\"path\":");

    if (r == 0)
        r = cli_put_json(&e->out, path, strlen(path));
    if (r == 0)
        r = putf(&e->out, ",\"journal\":\"%016llx\"",
                 (unsigned long long)tool_facts(e->tool)->journal);
    return r < 0 ? r : end_line(e);
}

static int write_end(struct export *e)
{
    int r = putf(&e->out, "{\"end\":true,\"queues\":%llu,\"messages\":%llu",
                 (unsigned long long)e->queues, (unsigned long long)e->messages);

    return r < 0 ? r : end_line(e);
}

static int write_definition(struct export *e, const struct tool_queue *q)
{
    struct slice filters = q->filters, f;
    const char *before = "";
    int r = put(&e->out, "{\"queue\":");

    if (r == 0)
        r = cli_put_json(&e->out, q->name, strlen(q->name));
    if (r == 0)
        r = put(&e->out, ",\"bindings\":[");
    while (r == 0 && tool_next_filter(&filters, &f)) {
        r = put(&e->out, before);
        if (r == 0)
            r = put_text(&e->out, f);
        before = ",";
    }
    if (r == 0)
        r = put(&e->out, "]");
    if (r == 0)
        r = put_headers(&e->out, "settings", q->settings, true);
    if (r == 0)
        r = putf(&e->out, ",\"next\":%llu", (unsigned long long)q->next);
    e->queues++;
    return r < 0 ? r : end_line(e);
}

static int write_facts(struct export *e, const struct tool_message *m)
{
    int r = putf(&e->out, ",\"seq\":%llu,\"id\":\"%llu\",\"time_ms\":%lld",
                 (unsigned long long)m->seq, (unsigned long long)m->id, (long long)m->time_ms);

    if (r == 0 && m->expires_ms != INT64_MAX)
        r = putf(&e->out, ",\"expires_ms\":%lld", (long long)m->expires_ms);
    if (r == 0 && m->attempts)
        r = putf(&e->out, ",\"attempts\":%u", m->attempts);
    if (r == 0 && m->due_ms)
        r = putf(&e->out, ",\"due_ms\":%lld", (long long)m->due_ms);
    if (r == 0 && m->settled_ms)
        r = putf(&e->out, ",\"settled_ms\":%lld", (long long)m->settled_ms);
    return r;
}

static int write_message(void *ctx, const struct tool_message *m)
{
    struct export *e = ctx;
    int r = put(&e->out, "{\"queue\":");

    if (r == 0)
        r = cli_put_json(&e->out, e->name, strlen(e->name));
    if (r == 0)
        r = write_facts(e, m);
    if (r == 0)
        r = put_member(&e->out, "topic", m->topic);
    if (r == 0 && m->type.n)
        r = put_member(&e->out, "type", m->type);
    if (r == 0 && m->headers.n)
        r = put_headers(&e->out, "headers", m->headers, false);
    if (r == 0)
        r = put_data(&e->out, m->data);
    e->messages++;
    e->bytes += m->data.n;
    return r < 0 ? r : end_line(e);
}

/* ------------------------------------------------------------------------------- all --- */

/* One that cannot be read is left out, and told. */
static int write_queue(struct export *e, const struct tool_queue *q)
{
    uint64_t seq = 0;
    int r = write_definition(e, q);

    e->name = q->name;
    while (r == 0 && !e->o->definitions) {
        r = tool_walk(e->tool, q, e->o->retained, &seq, write_message, e);
        if (r != -EBADMSG)
            break;
        (void)cli_error(e->cli, "message %llu of queue \"%s\" is damaged: left out",
                        (unsigned long long)seq++, q->name);
        e->damaged++;
        r = 0;
    }
    return r;
}

static bool is_wanted(const struct cli_store_options *o, const char *name)
{
    for (size_t i = 0; i < o->queues.n; i++)
        if (strcmp(o->queues.item[i], name) == 0)
            return true;
    return o->queues.n == 0;
}

static int write_all(struct export *e)
{
    const struct tool_queue *q;
    int r = write_head(e, e->cli->args[0]);

    for (size_t i = 0; r == 0 && (q = tool_queue(e->tool, i)); i++)
        if (is_wanted(e->o, q->name))
            r = write_queue(e, q);
    if (r == 0)
        r = write_end(e);
    return r < 0 ? r : flush(e);
}

/* A queue asked for that is not there is a mistake worth telling, before anything is written. */
static int check_names(const struct export *e)
{
    for (size_t i = 0; i < e->o->queues.n; i++) {
        const struct tool_queue *q = NULL;

        for (size_t k = 0; (q = tool_queue(e->tool, k)); k++)
            if (strcmp(q->name, e->o->queues.item[i]) == 0)
                break;
        if (!q)
            return cli_error(e->cli, "there is no queue \"%s\" in %s", e->o->queues.item[i],
                             e->cli->args[0]);
    }
    return CLI_OK;
}

static int export_to_stdout(struct cli *cli, const struct cli_store_options *o)
{
    struct export e = {.cli = cli, .o = o, .progress = {.cli = cli, .doing = "writing"}};
    int code = cli_store_open(cli, cli->args[0], &e.tool), r;

    if (code != CLI_OK)
        return code;
    code = check_names(&e);
    if (code == CLI_OK) {
        cli_out_init(&e.out, STDOUT_FILENO);
        r = write_all(&e);
        cli_progress_end(&e.progress);
        cli_out_fini(&e.out);
        if (r == -EPIPE)
            code = cli_error(cli, "stdout was closed before all was written");
        else if (r < 0)
            code = cli_store_fail(cli, r, NULL);
        else
            cli_note(cli, "%llu messages of %llu queues", (unsigned long long)e.messages,
                     (unsigned long long)e.queues);
        if (code == CLI_OK &&
            (e.damaged || tool_facts(e.tool)->lost_batches || tool_facts(e.tool)->missing))
            code = cli_error(cli, "%s is damaged: not everything could be exported", cli->args[0]);
    }
    tool_close(e.tool);
    return code;
}

int cli_store_export(struct cli *cli, void *given)
{
    struct cli_store_options *o = given;
    int code = export_to_stdout(cli, o);

    free(o->queues.item);
    return code;
}
