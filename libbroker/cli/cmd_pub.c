/* cmd_pub.c - publish a text, a file, or each line of it.
 *
 * Two ways: a publisher's stream, which counts what went wrong and is fast; and, for --confirm, a
 * request for each message, whose answer is a whole receipt. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/format.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/out.h"
#include "libbroker/cli/publish.h"
#include "libbroker/cli/text.h"

enum { RECEIPTS = 512, CLOSE_MS = 5000, MAX_MESSAGE = 64 << 20, BATCH = 1024 };

struct pub_options {
    bool lines, confirm, require;
    const char *file, *queue, *type, *dedup;
    uint64_t count, rate, ttl_ms, max_size;
    struct cli_list headers;
};

static const struct cli_option options[] = {
    {"lines", 'l', CLI_FLAG, offsetof(struct pub_options, lines), NULL,
     "each line is a message, without its newline", NULL},
    {"file", 'f', CLI_TEXT, offsetof(struct pub_options, file), "FILE",
     "the payload is in FILE (with --lines, the messages are)", NULL},
    {"count", 'n', CLI_COUNT, offsetof(struct pub_options, count), "COUNT",
     "publish it COUNT times (with --lines: at most COUNT lines)", NULL},
    {"rate", 0, CLI_COUNT, offsetof(struct pub_options, rate), "N", "at most N messages a second",
     NULL},
    {"header", 'H', CLI_LIST, offsetof(struct pub_options, headers), "KEY:VALUE",
     "a header; may be repeated", NULL},
    {"type", 0, CLI_TEXT, offsetof(struct pub_options, type), "TYPE",
     "content type (application/octet-stream)", NULL},
    {"ttl", 0, CLI_TIME, offsetof(struct pub_options, ttl_ms), "TIME",
     "the message expires after TIME (500ms, 30, 2h)", NULL},
    {"dedup", 0, CLI_TEXT, offsetof(struct pub_options, dedup), "ID",
     "queues that took ID lately accept it, and do not take it again", NULL},
    {"require", 0, CLI_FLAG, offsetof(struct pub_options, require), NULL,
     "refuse messages that match no queue", NULL},
    {"queue", 0, CLI_TEXT, offsetof(struct pub_options, queue), "QUEUE",
     "into this one queue; there is no TOPIC then", NULL},
    {"confirm", 0, CLI_FLAG, offsetof(struct pub_options, confirm), NULL,
     "print the receipt of each message", NULL},
    {"max-size", 0, CLI_SIZE, offsetof(struct pub_options, max_size), "SIZE",
     "largest message sent (64MiB)", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

struct pub;

/* A message of --confirm that is under way. */
struct pending {
    struct pub *pub;
    uint64_t number;
    bool busy;
};

struct pub {
    const struct cli *cli;
    const struct pub_options *o;
    const char *name; /* topic or queue */
    struct cli_link link;
    struct cli_source source;
    struct cli_tally tally;
    struct broker_publish_options message;
    bool plain; /* nothing in `message` */
    broker_publisher *publisher;
    struct cli_out out;
    struct pending *pending; /* RECEIPTS of them */
    size_t under_way;
    bool full; /* the last try found no credit */
    bool closing;
    int error; /* a BROKER_ code: it cannot go on */
    char text[256];
};

/* ------------------------------------------------------------------------------ a stream --- */

static void on_confirm(broker_publisher *p, uint64_t settled, const struct broker_outcome *o,
                       size_t n, void *user)
{
    struct pub *pub = user;

    (void)p;
    (void)settled;
    for (size_t i = 0; i < n; i++)
        cli_tally_add(&pub->tally, o[i].count, o[i].reason, o[i].matched, o[i].accepted,
                      pub->o->require);
    pub->full = false;
}

static void on_publisher_end(broker_publisher *p, int error, const char *text, void *user)
{
    struct pub *pub = user;

    (void)p;
    if (pub->closing)
        return;
    pub->error = error ? error : BROKER_ENDED;
    snprintf(pub->text, sizeof pub->text, "%s", text);
}

static int stream_open(struct pub *p)
{
    struct broker_publisher_options po = {
        .topic = p->name,
        .to_queue = p->o->queue != NULL,
        .on_confirm = on_confirm,
        .on_end = on_publisher_end,
        .user = p,
    };

    return broker_publisher_new(p->link.b, &po, &p->publisher);
}

static int stream_publish(struct pub *p)
{
    int64_t r = broker_publisher_publish(p->publisher, NULL, p->source.data, p->source.len,
                                         p->plain ? NULL : &p->message);

    return r < 0 ? (int)r : BROKER_OK;
}

static bool stream_settled(const struct pub *p)
{
    struct broker_publisher_stats s;

    broker_publisher_stats(p->publisher, &s);
    return s.settled + s.unknown >= s.published;
}

/* What has not settled is unknown; what settled and was not told of is accepted. */
static void stream_count(struct pub *p)
{
    struct cli_tally *t = &p->tally;
    struct broker_publisher_stats s;
    uint64_t told;

    broker_publisher_stats(p->publisher, &s);
    t->published = s.published;
    if (s.settled + s.unknown < s.published)
        t->unknown += s.published - s.settled - s.unknown;
    told = t->unmatched + t->unknown + cli_tally_refused(t) + cli_tally_dropped(t);
    t->accepted = told < t->published ? t->published - told : 0;
}

/* ---------------------------------------------------------------------------- receipts --- */

static int put_receipt(struct pub *p, uint64_t number, const struct broker_receipt *r,
                       const char *word)
{
    char line[160];
    bool json = p->cli->json;
    int n, e;

    if (json)
        n = snprintf(line, sizeof line,
                     "{\"message\":%llu,\"outcome\":\"%s\",\"reason\":\"%s\",\"matched\":%u,"
                     "\"accepted\":%u,\"text\":",
                     (unsigned long long)number, word, broker_reason_word(r->reason), r->matched,
                     r->accepted);
    else if (r->status == BROKER_OK)
        n = snprintf(line, sizeof line, "%llu %s: matched %u, accepted %u\n",
                     (unsigned long long)number, word, r->matched, r->accepted);
    else
        n = snprintf(line, sizeof line, "%llu %s: ", (unsigned long long)number, word);
    e = cli_out_put(&p->out, line, (size_t)n);
    if (e == 0 && json)
        e = cli_put_json(&p->out, r->text, strlen(r->text));
    else if (e == 0 && r->status != BROKER_OK)
        e = cli_put_plain(&p->out, *r->text ? r->text : broker_strerror(r->status),
                          strlen(*r->text ? r->text : broker_strerror(r->status)));
    if (e == 0 && json)
        return cli_out_put(&p->out, "}\n", 2);
    return e == 0 && r->status != BROKER_OK ? cli_out_put(&p->out, "\n", 1) : e;
}

static void on_receipt(broker *b, const struct broker_receipt *r, void *user)
{
    struct pending *one = user;
    struct pub *p = one->pub;
    const char *word = "unknown";

    (void)b;
    one->busy = false;
    p->under_way--;
    p->full = false;
    if (r->status == BROKER_OK && r->matched == 0) {
        word = "unmatched";
        p->tally.unmatched++;
    } else if (r->status == BROKER_OK && r->accepted < r->matched) {
        word = "dropped"; /* which of the policies, a receipt does not say */
        p->tally.by_reason[BROKER_REASON_DROP_NEWEST]++;
    } else if (r->status == BROKER_OK) {
        word = "accepted";
        p->tally.accepted++;
    } else if ((r->status == BROKER_REFUSED || r->status == BROKER_FAILED) &&
               r->reason > BROKER_REASON_NONE && r->reason < 32) {
        word = "refused";
        p->tally.by_reason[r->reason]++;
    } else {
        p->tally.unknown++;
    }
    if (!p->closing && put_receipt(p, one->number, r, word) < 0)
        p->error = BROKER_NO_MEMORY;
}

static int request_publish(struct pub *p)
{
    struct pending *one = p->pending;
    int r;

    if (p->under_way == RECEIPTS)
        return BROKER_NO_CREDIT;
    while (one->busy)
        one++;
    *one = (struct pending){p, p->source.given + 1, true};
    r = broker_publish_async(p->link.b, p->name, p->source.data, p->source.len, &p->message,
                             BROKER_FOREVER, on_receipt, one);
    if (r < 0) {
        one->busy = false;
        return r;
    }
    p->under_way++;
    p->tally.published++;
    return BROKER_OK;
}

/* --------------------------------------------------------------------------- the common --- */

static bool settled(const struct pub *p)
{
    return p->o->confirm ? p->under_way == 0 : stream_settled(p);
}

/* Publish what there is, what is due and what finds credit; at most BATCH, so that the connection
 * is looked after. What stopped it: 0 nothing, -EAGAIN wants input, -ENODATA the end of it. */
static int publish_some(struct pub *p)
{
    for (int i = 0; i < BATCH && !p->full && p->error == BROKER_OK; i++) {
        int r = cli_source_peek(&p->source);

        if (r < 0)
            return r;
        if (p->source.rate && cli_source_wait_ns(&p->source, cli_now_ns()) > 0)
            return 0;
        r = p->o->confirm ? request_publish(p) : stream_publish(p);
        if (r == BROKER_NO_CREDIT) {
            p->full = true;
        } else if (r < 0) {
            p->error = r;
            snprintf(p->text, sizeof p->text, "%s", broker_errmsg(p->link.b));
        } else {
            cli_source_take(&p->source);
        }
    }
    return 0;
}

static int read_input(struct pub *p)
{
    int r = cli_reader_fill(&p->source.reader);

    if (r == -EFBIG)
        return cli_error(p->cli, "%s is longer than %zu bytes (--max-size)",
                         p->source.lines ? "a line" : "the input", p->source.reader.max);
    if (r < 0 && r != -EINTR && r != -EAGAIN)
        return cli_error(p->cli, "%s: %s", p->o->file ? p->o->file : "stdin", strerror(-r));
    return CLI_OK;
}

/* How long to wait, in ms, by what stopped publish_some(). */
static int wait_ms(struct pub *p, int stopped)
{
    int64_t ns;

    if (stopped < 0)
        return BROKER_FOREVER;
    if (p->full)
        return 1000; /* a confirm wakes us; this is for credit that comes without one */
    ns = cli_source_wait_ns(&p->source, cli_now_ns());
    return ns > 1000000000 ? 1000 : (int)((ns + 999999) / 1000000);
}

/* Write receipts; 0 or -errno for the exit. */
static int write_receipts(struct pub *p)
{
    int r = p->o->confirm ? cli_out_flush(&p->out) : 0;

    return r == -EAGAIN ? 0 : r;
}

static int check(struct pub *p, int64_t end_ns)
{
    int r = write_receipts(p);

    if (r == -EPIPE)
        return cli_error(p->cli, "stdout was closed before all had settled");
    if (r < 0)
        return cli_error(p->cli, "stdout: %s", strerror(-r));
    if (p->error != BROKER_OK)
        return cli_link_fail(&p->link, "cannot publish", p->error, p->text);
    if (end_ns && cli_now_ns() > end_ns) {
        cli_error(p->cli, "not all has settled in time");
        return CLI_TIMED_OUT;
    }
    return CLI_OK;
}

/* Publish all, then wait until all has settled. */
static int loop(struct pub *p)
{
    struct pollfd in = {.fd = p->source.reader.fd, .events = POLLIN};
    int64_t end_ns = p->cli->timeout_ms ? cli_now_ns() + (int64_t)p->cli->timeout_ms * 1000000 : 0;
    bool more = true, stopping = false;

    for (;;) {
        int stopped = more ? publish_some(p) : -ENODATA, ms, r;

        if (cli_interrupted(p->cli) && !stopping) {
            stopping = true;
            cli_note(p->cli, "stopping; waiting for what was published (interrupt again to leave)");
        }
        more = more && stopped != -ENODATA && !stopping;
        if (!more && (settled(p) || *p->cli->interrupts > 1))
            return write_receipts(p) == 0 && !stopping ? CLI_OK : CLI_FAILED;
        if (!more && p->publisher)
            (void)broker_publisher_flush(p->publisher);
        ms = more ? wait_ms(p, stopped) : 1000;
        if (end_ns && (ms < 0 || ms > 100))
            ms = 100;
        r = cli_link_wait(&p->link, ms, more && stopped == -EAGAIN ? &in : NULL);
        if (r == CLI_OK && more && stopped == -EAGAIN && in.revents)
            r = read_input(p);
        if (r == CLI_OK)
            r = check(p, end_ns);
        if (p->full &&
            (p->o->confirm ? p->under_way < RECEIPTS : broker_publisher_credit(p->publisher) > 0))
            p->full = false;
        if (r != CLI_OK)
            return r;
    }
}

/* ------------------------------------------------------------------------------ options --- */

static int make_source(struct pub *p)
{
    const struct pub_options *o = p->o;
    size_t named = o->queue ? 0 : 1; /* arguments before DATA */
    const char *data = p->cli->args_n > named ? p->cli->args[named] : NULL;
    size_t max = o->max_size ? o->max_size - 1 : MAX_MESSAGE;
    int fd = STDIN_FILENO;

    if (!o->queue && p->cli->args_n == 0)
        return cli_usage(p->cli, "wants a TOPIC, or --queue");
    if (p->cli->args_n > named + 1)
        return cli_usage(p->cli, "\"%s\" is one argument too many", p->cli->args[named + 1]);
    p->name = o->queue ? o->queue : p->cli->args[0];
    if (data && strcmp(data, "-") == 0)
        data = NULL;
    if (data && (o->file || o->lines))
        return cli_usage(p->cli, "DATA goes with neither --file nor --lines");
    p->source = (struct cli_source){.lines = o->lines,
                                    .read = !data,
                                    .count = o->count,
                                    .rate = o->rate,
                                    .start_ns = cli_now_ns()};
    if (data) {
        p->source.data = data;
        p->source.len = strlen(data);
    }
    if (o->file && strcmp(o->file, "-") != 0) {
        fd = open(o->file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return cli_error(p->cli, "%s: %s", o->file, strerror(errno));
    }
    cli_reader_init(&p->source.reader, fd, max);
    return CLI_OK;
}

static int publish(struct pub *p)
{
    struct broker_options bo = {.max_message = p->o->max_size ? p->o->max_size - 1 : 0};
    int code = cli_link_open(&p->link, p->cli, &bo), r = BROKER_OK;

    if (code != CLI_OK)
        return code;
    cli_out_init(&p->out, STDOUT_FILENO);
    if (!p->o->confirm)
        r = stream_open(p);
    p->source.start_ns = cli_now_ns();
    code = r < 0 ? cli_link_fail(&p->link, "cannot publish", r, NULL) : loop(p);
    if (p->publisher)
        stream_count(p);
    r = cli_tally_report(&p->tally, p->cli, p->cli->json && !p->o->confirm);
    p->closing = true;
    broker_publisher_free(p->publisher);
    cli_link_close(&p->link, code == CLI_OK ? CLOSE_MS : 0);
    cli_out_fini(&p->out);
    return code != CLI_OK ? code : r;
}

static int run(struct cli *cli, void *given)
{
    const struct pub_options *o = given;
    struct broker_header *headers = calloc(o->headers.n + 1, sizeof *headers);
    struct pending *pending = calloc(RECEIPTS, sizeof *pending);
    struct pub *p = calloc(1, sizeof *p);
    int r;

    if (!headers || !pending || !p) {
        r = cli_error(cli, "out of memory");
        goto out;
    }
    p->cli = cli;
    p->o = o;
    p->pending = pending;
    p->source.reader.fd = -1;
    p->message = (struct broker_publish_options){
        .content_type = o->type,
        .dedup = o->dedup,
        .ttl_ms = o->ttl_ms,
        .headers = headers,
        .header_count = o->headers.n,
        .require = o->require,
        .to_queue = o->queue != NULL,
    };
    p->plain = !o->type && !o->dedup && !o->ttl_ms && !o->headers.n && !o->require;
    r = cli_parse_headers(cli, &o->headers, headers);
    if (r == CLI_OK)
        r = make_source(p);
    if (r == CLI_OK)
        r = publish(p);
    if (p->source.reader.fd > STDERR_FILENO)
        close(p->source.reader.fd);
    cli_reader_fini(&p->source.reader);
out:
    free(p);
    free(pending);
    free(headers);
    free(o->headers.item);
    return r;
}

const struct cli_command cli_pub = {
    .name = "pub",
    .args = "TOPIC [DATA | -]",
    .summary = "Publish messages and wait until they have settled",
    .more = "Without DATA the payload is read from stdin, all of it, or each line with --lines.\n"
            "The broker's credit sets the pace. Exit 1 if a message was refused; stderr says how\n"
            "many and why.\n\n"
            "  broker pub logs.x hello              one message\n"
            "  broker pub logs.x --lines < file     a message each line\n"
            "  broker pub images.one --file a.png   a file as it is\n"
            "  broker pub --queue jobs 'do it'      into one queue",
    .options = options,
    .options_size = sizeof(struct pub_options),
    .args_max = 2,
    .run = run,
};
