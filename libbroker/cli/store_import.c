/* store_import.c - lines of JSON (docs/store-tools.md) into the journal of a stopped broker, or
 * published to the queues of a running one. */
#include "libbroker/cli/store.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"
#include "libbroker/base/headers.h"
#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/progress.h"
#include "libbroker/cli/reader.h"
#include "libbroker/cli/text.h"

enum { LINE_MAX_BYTES = 1 << 30, HEADERS_MAX = 65535, QUEUE_HEADERS = 256 };

struct import;

/* Where it goes. CLI_OK, or an exit code, having said what is wrong. */
struct target {
    int (*queue)(struct import *m, const json_t *line);
    int (*message)(struct import *m, const json_t *line, struct slice data);
    int (*finish)(struct import *m);
};

struct import {
    struct cli *cli;
    const struct cli_store_options *o;
    const struct target *target;
    struct cli_progress progress;
    struct cli_reader reader;
    uint64_t size, line; /* of the input; the line's number */
    uint64_t queues, were_there, messages;
    bool began, ended; /* the first line said what it is; the last one was there */
    uint8_t *bytes;    /* of base64, or of headers */
    size_t cap;
    struct tool *tool;
    struct cli_link link;
    broker_publisher *publisher;
    uint64_t refused, expired, retained, in_memory;
    int error; /* of the publisher: a BROKER_ code */
    bool closing;
};

static int bad_line(const struct import *m, const char *why)
{
    return cli_error(m->cli, "line %llu: %s", (unsigned long long)m->line, why);
}

static struct slice text_of(const json_t *object, const char *key)
{
    const json_t *s = json_object_get(object, key);

    return json_is_string(s) ? slice_of(json_string_value(s), json_string_length(s))
                             : slice_of(NULL, 0);
}

static int64_t number_of(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *n = json_object_get(object, key);

    return json_is_integer(n) ? json_integer_value(n) : otherwise;
}

/* ------------------------------------------------------------------------ into a journal --- */

/* `prefix` goes in front of the name: "$" or "". */
static uint8_t *put_header(uint8_t *p, const uint8_t *end, const char *prefix, const char *name,
                           const json_t *value)
{
    char full[HEADERS_NAME_MAX + 2];
    struct slice n, v;

    (void)snprintf(full, sizeof full, "%s%s", prefix, name);
    n = slice_str(full);

    if (!p || !json_is_string(value))
        return NULL;
    v = slice_of(json_string_value(value), json_string_length(value));
    if (*name == '\0' || n.n > HEADERS_NAME_MAX || v.n > HEADERS_VALUE_MAX ||
        headers_size(n.n, v.n) > (size_t)(end - p))
        return NULL;
    return headers_put(p, n, v);
}

/* An object of texts, or arrays of texts, as headers in `to`, of HEADERS_MAX bytes. */
static bool pack_headers(const json_t *object, const char *prefix, uint8_t *to, struct slice *ret)
{
    uint8_t *p = to, *end = to + HEADERS_MAX;
    const char *name;
    json_t *value, *one;
    size_t i;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!json_is_array(value))
            p = put_header(p, end, prefix, name, value);
        json_array_foreach(value, i, one)
        {
            p = put_header(p, end, prefix, name, one);
        }
    }
    if (!p)
        return false;
    *ret = slice_of(to, (size_t)(p - to));
    return true;
}

/* (u8 length, filter)*, into `to`, of HEADERS_MAX bytes. */
static bool pack_filters(const json_t *list, uint8_t *to, struct slice *ret)
{
    uint8_t *p = to;
    json_t *f;
    size_t i;

    json_array_foreach(list, i, f)
    {
        size_t n = json_is_string(f) ? json_string_length(f) : 0;

        if (n == 0 || n > UINT8_MAX || n + 1 > (size_t)(to + HEADERS_MAX - p))
            return false;
        *p++ = (uint8_t)n;
        memcpy(p, json_string_value(f), n);
        p += n;
    }
    *ret = slice_of(to, (size_t)(p - to));
    return true;
}

static int journal_failed(const struct import *m, int r)
{
    if (r == -ENOENT)
        return bad_line(m, "a message of a queue that no line before it defines");
    if (r == -EMSGSIZE)
        return bad_line(m, "some part of it is too long");
    return cli_store_fail(m->cli, r, NULL);
}

static int journal_queue(struct import *m, const json_t *line)
{
    static uint8_t filters[HEADERS_MAX], settings[HEADERS_MAX];
    struct slice f, s;
    int r;

    if (!pack_filters(json_object_get(line, "bindings"), filters, &f))
        return bad_line(m, "\"bindings\" is no list of filters");
    if (!pack_headers(json_object_get(line, "settings"), "$", settings, &s))
        return bad_line(m, "\"settings\" is no object of texts");
    r = tool_put_queue(m->tool, text_of(line, "queue"), f, s, (uint64_t)number_of(line, "next", 1));
    if (r < 0)
        return journal_failed(m, r);
    m->were_there += (uint64_t)r;
    return CLI_OK;
}

static int journal_message(struct import *m, const json_t *line, struct slice data)
{
    static uint8_t headers[HEADERS_MAX];
    const char *id = json_string_value(json_object_get(line, "id"));
    struct tool_message msg = {
        .seq = (uint64_t)number_of(line, "seq", 0),
        .id = id ? strtoull(id, NULL, 10) : 0,
        .time_ms = number_of(line, "time_ms", (int64_t)time(NULL) * 1000),
        .expires_ms = number_of(line, "expires_ms", INT64_MAX),
        .due_ms = number_of(line, "due_ms", 0),
        .settled_ms = number_of(line, "settled_ms", 0),
        .attempts = (uint32_t)number_of(line, "attempts", 0),
        .topic = text_of(line, "topic"),
        .type = text_of(line, "type"),
        .data = data,
    };
    int r;

    if (!pack_headers(json_object_get(line, "headers"), "", headers, &msg.headers))
        return bad_line(m, "\"headers\" is no object of texts, or too large");
    if (!msg.topic.n)
        msg.topic = text_of(line, "queue");
    r = tool_put(m->tool, text_of(line, "queue"), &msg);
    return r < 0 ? journal_failed(m, r) : CLI_OK;
}

static int journal_finish(struct import *m)
{
    int r = tool_finish(m->tool);

    return r < 0 ? journal_failed(m, r) : CLI_OK;
}

static const struct target into_journal = {journal_queue, journal_message, journal_finish};

/* ---------------------------------------------------------------------- to a running one --- */

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *outcomes,
                       size_t count, void *user)
{
    struct import *m = user;

    (void)p, (void)settled;
    for (size_t i = 0; i < count; i++)
        m->refused += outcomes[i].count;
}

static void on_publisher_end(broker_publisher *p, int error, const char *text, void *user)
{
    struct import *m = user;

    (void)p;
    if (m->closing)
        return;
    m->error = error ? error : BROKER_ENDED;
    (void)cli_error(m->cli, "cannot publish: %s", text && *text ? text : broker_strerror(m->error));
}

/* What was on disk is not to be in memory only, without anybody having said so. */
static int check_level(struct import *m, const char *queue, bool made)
{
    json_t *answer = NULL;
    int r = cli_link_ask(&m->link, "queue-info", json_pack("{s:s}", "queue", queue), &answer);
    bool in_memory = r == CLI_OK && strcmp(cli_json_text(answer, "durable"), "memory") == 0;

    json_decref(answer);
    if (!in_memory)
        return r;
    m->in_memory++;
    if (!m->began || m->o->in_memory)
        return CLI_OK;
    if (made)
        (void)cli_link_ask(
            &m->link, "queue-rm",
            json_pack("{s:s,s:b,s:b}", "queue", queue, "if_empty", 1, "if_unused", 1), NULL);
    return cli_error(m->cli,
                     "queue \"%s\" was on disk, and would be in memory only here: put into the "
                     "broker's settings queue \"%s\" { durable = journal }, with a section store "
                     "\"journal\"%s; or import with --in-memory",
                     queue, queue, made ? ", and reload" : ", and delete the queue that is there");
}

static int broker_queue(struct import *m, const json_t *line)
{
    json_t *request = json_pack("{s:O}", "queue", json_object_get(line, "queue"));
    json_t *answer = NULL;
    bool made;
    int r;

    json_object_set(request, "bind", json_object_get(line, "bindings"));
    if (json_object_get(line, "settings"))
        json_object_set(request, "settings", json_object_get(line, "settings"));
    r = cli_link_ask(&m->link, "queue-add", request, &answer);
    made = json_is_true(json_object_get(answer, "made"));
    json_decref(answer);
    return r == CLI_OK ? check_level(m, json_string_value(json_object_get(line, "queue")), made)
                       : r;
}

/* Texts, as a user may send them: not the broker's own, and of each name the first. */
static size_t list_headers(const json_t *object, struct broker_header *to)
{
    const char *name;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const json_t *one = json_is_array(value) ? json_array_get(value, 0) : value;

        if (*name != '$' && json_is_string(one) && n < QUEUE_HEADERS)
            to[n++] = (struct broker_header){name, json_string_value(one)};
    }
    return n;
}

/* Wait for credit, or for what has not settled yet. */
static int wait_link(struct import *m)
{
    int r = cli_link_wait(&m->link, 1000, NULL);

    if (r == CLI_OK && cli_interrupted(m->cli))
        return cli_error(m->cli, "interrupted");
    return r == CLI_OK && m->error ? cli_exit_code(m->error, 0) : r;
}

static int broker_message_line(struct import *m, const json_t *line, struct slice data)
{
    struct broker_header headers[QUEUE_HEADERS];
    int64_t expires_ms = number_of(line, "expires_ms", INT64_MAX);
    int64_t now_ms = (int64_t)time(NULL) * 1000, number;
    struct broker_publish_options o = {
        .content_type = json_string_value(json_object_get(line, "type")),
        .headers = headers,
        .header_count = list_headers(json_object_get(line, "headers"), headers),
    };
    int r;

    if (number_of(line, "settled_ms", 0)) { /* it does not wait */
        m->retained++;
        return CLI_OK;
    }
    if (expires_ms <= now_ms) {
        m->expired++;
        return CLI_OK;
    }
    o.ttl_ms = expires_ms == INT64_MAX ? 0 : (uint64_t)(expires_ms - now_ms);
    for (;;) {
        number = broker_publisher_publish(
            m->publisher, json_string_value(json_object_get(line, "queue")), data.p, data.n, &o);
        if (number != BROKER_NO_CREDIT)
            break;
        r = wait_link(m);
        if (r != CLI_OK)
            return r;
    }
    return number < 0 ? cli_link_fail(&m->link, "cannot publish", (int)number, NULL) : CLI_OK;
}

static int broker_finish(struct import *m)
{
    struct broker_publisher_stats s;
    int r = CLI_OK;

    (void)broker_publisher_flush(m->publisher);
    for (;;) {
        broker_publisher_stats(m->publisher, &s);
        if (s.settled + s.unknown >= s.published)
            break;
        r = wait_link(m);
        if (r != CLI_OK)
            return r;
    }
    if (m->expired)
        cli_note(m->cli, "%llu messages had expired: left out", (unsigned long long)m->expired);
    if (m->retained)
        cli_note(m->cli, "%llu messages were settled: left out", (unsigned long long)m->retained);
    if (m->in_memory)
        cli_note(m->cli, "%llu queues are in memory only: a restart of the broker loses them",
                 (unsigned long long)m->in_memory);
    m->refused += s.unknown;
    if (m->refused)
        return cli_error(m->cli, "%llu messages were not taken", (unsigned long long)m->refused);
    return CLI_OK;
}

static const struct target to_broker = {broker_queue, broker_message_line, broker_finish};

static int open_link(struct import *m)
{
    struct broker_options bo = {.max_message = LINE_MAX_BYTES};
    struct broker_publisher_options po = {
        .to_queue = true, .on_confirm = on_confirm, .on_end = on_publisher_end, .user = m};
    int code = cli_link_open(&m->link, m->cli, &bo), r;

    if (code != CLI_OK)
        return code;
    r = broker_publisher_new(m->link.b, &po, &m->publisher);
    if (r < 0) {
        code = cli_link_fail(&m->link, "cannot publish", r, NULL);
        cli_link_close(&m->link, 0);
    }
    return code;
}

/* ------------------------------------------------------------------------------- lines --- */

/* The payload, wherever it is. */
static bool take_data(struct import *m, const json_t *line, struct slice *ret)
{
    struct slice base64 = text_of(line, "base64");
    size_t n;

    *ret = text_of(line, "data");
    if (!json_object_get(line, "base64"))
        return json_is_string(json_object_get(line, "data"));
    if (base64.n > m->cap) {
        free(m->bytes);
        m->bytes = malloc(base64.n);
        m->cap = m->bytes ? base64.n : 0;
        if (!m->bytes)
            return false;
    }
    if (!cli_take_base64((const char *)base64.p, base64.n, m->bytes, &n))
        return false;
    *ret = slice_of(m->bytes, n);
    return true;
}

static int take_line(struct import *m, const json_t *line)
{
    struct slice data;

    if (json_object_get(line, "broker_export")) {
        m->began = true;
        return number_of(line, "broker_export", 0) == 1
                   ? CLI_OK
                   : bad_line(m, "an export of a version that this program does not know");
    }
    if (json_object_get(line, "end")) {
        m->ended = true;
        return CLI_OK;
    }
    if (!text_of(line, "queue").n)
        return bad_line(m, "no \"queue\" in it");
    if (json_object_get(line, "bindings")) {
        m->queues++;
        return m->target->queue(m, line);
    }
    if (!take_data(m, line, &data))
        return bad_line(m, "it has neither \"data\", a text, nor \"base64\"");
    m->messages++;
    return m->target->message(m, line, data);
}

static int parse_line(struct import *m, const char *text, size_t n)
{
    json_error_t error;
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    int r;

    m->line++;
    if (!line)
        return bad_line(m, error.text);
    r = json_is_object(line) ? take_line(m, line) : bad_line(m, "it is no object");
    json_decref(line);
    return r;
}

static int read_more(struct import *m)
{
    off_t at = lseek(m->reader.fd, 0, SEEK_CUR);
    int r;

    if (!cli_progress(&m->progress, at > 0 ? (uint64_t)at : 0, m->size))
        return cli_error(m->cli, "interrupted; %llu messages are in it so far, perhaps",
                         (unsigned long long)m->messages);
    r = cli_reader_fill(&m->reader);
    if (r == -EFBIG)
        return bad_line(m, "the next line is too long");
    return r < 0 && r != -EINTR ? cli_error(m->cli, "cannot read: %s", strerror(-r)) : CLI_OK;
}

static int take_all(struct import *m)
{
    const char *text;
    size_t n;
    int r = CLI_OK;

    while (r == CLI_OK) {
        int status = cli_reader_line(&m->reader, &text, &n);

        if (status == -ENODATA)
            break;
        r = status == -EAGAIN ? read_more(m) : parse_line(m, text, n);
    }
    if (r == CLI_OK)
        r = m->target->finish(m);
    if (r == CLI_OK && m->began && !m->ended)
        r = cli_error(m->cli, "the input ends before its last line: some of it is missing");
    return r;
}

/* ------------------------------------------------------------------------------- all --- */

static int open_input(struct import *m)
{
    const char *name = m->cli->args_n ? m->cli->args[0] : "-";
    int fd = STDIN_FILENO;
    off_t at, end;

    if (strcmp(name, "-") != 0)
        fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_error(m->cli, "%s: %s", name, strerror(errno));
    at = lseek(fd, 0, SEEK_CUR);
    end = lseek(fd, 0, SEEK_END);
    if (end > 0)
        m->size = (uint64_t)end;
    if (at >= 0)
        (void)lseek(fd, at, SEEK_SET);
    cli_reader_init(&m->reader, fd, LINE_MAX_BYTES);
    return CLI_OK;
}

static int open_target(struct import *m)
{
    char text[TOOL_TEXT] = "";
    int r;

    m->target = m->o->into ? &into_journal : &to_broker;
    if (!m->o->into)
        return open_link(m);
    r = tool_open_to_write(m->o->into, &m->tool, text);
    return r < 0 ? cli_store_fail(m->cli, r, text) : CLI_OK;
}

static void close_target(struct import *m)
{
    m->closing = true;
    tool_close(m->tool);
    if (m->o->into)
        return;
    broker_publisher_free(m->publisher);
    cli_link_close(&m->link, 0);
}

int cli_store_import(struct cli *cli, void *given)
{
    struct import m = {.cli = cli, .o = given, .progress = {.cli = cli, .doing = "importing"}};
    int r = open_input(&m);

    if (r != CLI_OK)
        return r;
    r = open_target(&m);
    if (r == CLI_OK) {
        r = take_all(&m);
        cli_progress_end(&m.progress);
        close_target(&m);
    }
    if (r == CLI_OK && m.were_there)
        cli_note(cli, "%llu queues were there already and stay as they are set",
                 (unsigned long long)m.were_there);
    if (r == CLI_OK)
        cli_note(cli, "%llu messages of %llu queues", (unsigned long long)m.messages,
                 (unsigned long long)m.queues);
    cli_reader_fini(&m.reader);
    if (m.reader.fd != STDIN_FILENO)
        close(m.reader.fd);
    free(m.bytes);
    return r;
}
