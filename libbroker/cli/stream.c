#include "libbroker/cli/stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

/* Credit, where nobody has said how much: at first, at most, and the bytes it should amount to. */
enum { FIRST_CREDIT = 1024, MOST_CREDIT = 16384, CREDIT_BYTES = 8 << 20 };
enum { CLOSE_MS = 2000 };

struct stream {
    const struct cli *cli;
    const struct cli_stream_options *o;
    struct cli_link link;
    struct cli_out out;
    broker_subscription *sub;
    uint64_t window, granted, received; /* messages */
    uint64_t bytes;                     /* of payload received */
    uint64_t acked;                     /* the last delivery acknowledged */
    uint64_t last;                      /* the last delivery received */
    uint64_t lost;                      /* of which the number is known */
    bool gap, blocked, ready, ended, failed;
    int out_error;             /* -errno of the output */
    int end_error, end_reason; /* of the subscription */
    char end_text[256];
    int64_t start_ns;
};

/* ---------------------------------------------------------------------------- callbacks --- */

static void flush(struct stream *s)
{
    int r = cli_out_flush(&s->out);

    s->blocked = r == -EAGAIN;
    if (r < 0 && r != -EAGAIN)
        s->out_error = r;
}

static bool enough(const struct stream *s)
{
    return s->o->count > 0 && s->received >= s->o->count;
}

static void on_message(broker_subscription *sub, broker_message *m, void *user)
{
    struct stream *s = user;

    (void)sub;
    if (enough(s) || s->out_error)
        return; /* comes again, if it is from a queue with manual acks */
    s->received++;
    s->last = broker_message_number(m);
    s->bytes += broker_message_size(m);
    if (s->o->format(&s->out, m, s->o->user) < 0)
        s->out_error = -ENOMEM;
    if (cli_out_waiting(&s->out) >= CLI_OUT_BULK && !s->blocked)
        flush(s);
}

static void on_gap(broker_subscription *sub, const struct broker_gap *gap, void *user)
{
    struct stream *s = user;
    const char *why = broker_reason_word(gap->reason);

    (void)sub;
    s->gap = true;
    s->lost += gap->count;
    if (gap->count)
        cli_error(s->cli, "lost %llu message%s (%s)", (unsigned long long)gap->count,
                  gap->count == 1 ? "" : "s", why);
    else
        cli_error(s->cli, "lost an unknown number of messages (%s)", why);
}

static void on_end(broker_subscription *sub, int error, int reason, const char *text, void *user)
{
    struct stream *s = user;

    (void)sub;
    s->ended = true;
    s->end_error = error;
    s->end_reason = reason;
    snprintf(s->end_text, sizeof s->end_text, "%s", text);
}

static void ask_ready(struct stream *s);

static void on_ready(broker *b, const struct broker_receipt *r, broker_message *m, void *user)
{
    struct stream *s = user;

    (void)b;
    (void)m;
    if (r->status == BROKER_DISCONNECTED) {
        ask_ready(s); /* on the next connection */
        return;
    }
    if (r->status != BROKER_OK) {
        s->failed = r->status != BROKER_CLOSED;
        s->end_error = r->status;
        snprintf(s->end_text, sizeof s->end_text, "%s", r->text);
        return;
    }
    s->ready = true;
    if (!s->ended)
        cli_note(s->cli, "subscribed");
}

static void ask_ready(struct stream *s)
{
    int r = broker_request_async(s->link.b, "admin/ping", NULL, 0, BROKER_FOREVER, on_ready, s);

    if (r < 0 && r != BROKER_CLOSED) {
        s->failed = true;
        s->end_error = r;
    }
}

/* ------------------------------------------------------------------------------- credit --- */

/* How many messages may be under way, by the size seen so far. */
static uint64_t window(const struct stream *s)
{
    uint64_t w;

    if (s->o->credit)
        return s->o->credit;
    if (s->received == 0)
        return FIRST_CREDIT;
    w = CREDIT_BYTES / (s->bytes / s->received + 1);
    return w < 8 ? 8 : w > MOST_CREDIT ? MOST_CREDIT : w;
}

/* How many more to grant now, so that the window is full again. */
static uint32_t due_credit(struct stream *s)
{
    uint64_t under_way = s->granted > s->received ? s->granted - s->received : 0, want;

    s->window = window(s);
    if (under_way > s->window / 2)
        return 0;
    want = s->window - under_way;
    if (s->o->count > 0 && want > s->o->count - s->granted)
        want = s->o->count - s->granted;
    return want > BROKER_UNLIMITED ? BROKER_UNLIMITED : (uint32_t)want;
}

static void renew(struct stream *s)
{
    uint32_t n = due_credit(s);

    if (n > 0 && !s->ended && broker_grant(s->sub, n) == BROKER_OK)
        s->granted += n;
}

static void ack(struct stream *s)
{
    while (s->o->manual_ack && s->acked < s->last && !s->ended) {
        uint64_t n = s->last - s->acked;
        uint32_t count = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
        int r = broker_ack(s->sub, s->acked + 1, count);

        if (r < 0 && r != BROKER_STALE && r != BROKER_ENDED) {
            s->failed = true;
            s->end_error = r;
            return;
        }
        s->acked += count;
    }
}

/* ------------------------------------------------------------------------------ running --- */

static int subscribe(struct stream *s)
{
    const struct cli_stream_options *o = s->o;
    struct broker_subscribe_options so = {
        .manual_credit = true,
        .ack = o->manual_ack ? BROKER_ACK_MANUAL : BROKER_ACK_AUTO,
        .settings = o->settings,
        .setting_count = o->settings_n,
        .on_message = on_message,
        .on_gap = on_gap,
        .on_end = on_end,
        .user = s,
    };
    int r;

    so.credit = due_credit(s);
    s->granted = so.credit;
    if (o->queue) {
        so.bindings = o->filters;
        so.binding_count = o->filters_n;
        r = broker_consume(s->link.b, o->queue, &so, &s->sub);
    } else {
        r = broker_subscribe(s->link.b, o->filters, o->filters_n, &so, &s->sub);
    }
    if (r < 0)
        return cli_link_fail(&s->link, "cannot subscribe", r, NULL);
    ask_ready(s);
    return CLI_OK;
}

/* Why to end, if there is a reason: an exit code, else -1. */
static int verdict(struct stream *s)
{
    if (s->out_error == -EPIPE)
        return CLI_OK; /* whoever read has had enough */
    if (s->out_error)
        return cli_error(s->cli, "stdout: %s", strerror(-s->out_error));
    if (s->failed)
        return cli_link_fail(&s->link, "cannot subscribe", s->end_error, s->end_text);
    if (s->blocked)
        return cli_interrupted(s->cli) ? CLI_FAILED : -1; /* what is written counts */
    if (enough(s) || cli_interrupted(s->cli))
        return s->gap ? CLI_LOST : CLI_OK;
    if (s->ended && s->end_error == BROKER_OK)
        return s->gap ? CLI_LOST : CLI_OK;
    if (s->ended) {
        int code = cli_link_fail(&s->link, "subscription ended", s->end_error, s->end_text);

        return code == CLI_FAILED ? cli_exit_code(s->end_error, s->end_reason) : code;
    }
    return -1;
}

static int until_ms(const struct stream *s)
{
    int64_t left_ms;

    if (s->cli->timeout_ms == 0)
        return BROKER_FOREVER;
    left_ms = (int64_t)s->cli->timeout_ms - (cli_now_ns() - s->start_ns) / 1000000;
    return left_ms < 0 ? 0 : left_ms > 3600000 ? 3600000 : (int)left_ms;
}

static int loop(struct stream *s)
{
    struct pollfd out = {.fd = s->out.fd, .events = POLLOUT};

    for (;;) {
        int code, ms;

        flush(s);
        if (!s->blocked) {
            ack(s);
            renew(s);
        }
        code = verdict(s);
        if (code >= 0)
            return code;
        ms = until_ms(s);
        if (ms == 0 && !s->blocked)
            return s->gap ? CLI_LOST : CLI_TIMED_OUT;
        code = cli_link_wait(&s->link, ms, s->blocked ? &out : NULL);
        if (code != CLI_OK) {
            flush(s); /* what came before */
            return code;
        }
    }
}

static void statistics(const struct stream *s)
{
    char count[CLI_NUMBER_MAX], size[CLI_NUMBER_MAX], time[CLI_NUMBER_MAX];
    uint64_t ms = (uint64_t)(cli_now_ns() - s->start_ns) / 1000000;

    cli_note(s->cli, "%s messages, %s, in %s", cli_count_text(s->received, count),
             cli_size_text(s->bytes, size), cli_time_text(ms, time));
}

int cli_stream_run(const struct cli *cli, const struct cli_stream_options *o)
{
    struct broker_options options = {.max_message = o->max_message};
    struct stream s = {.cli = cli, .o = o, .start_ns = cli_now_ns()};
    int code = cli_link_open(&s.link, cli, &options);

    if (code != CLI_OK)
        return code;
    cli_out_init(&s.out, STDOUT_FILENO);
    code = subscribe(&s);
    if (code == CLI_OK) {
        code = loop(&s);
        if (cli_interrupted(cli))
            statistics(&s);
        /* The broker answers once it has seen the acks, so none is lost with the connection. */
        if (o->manual_ack && s.acked > 0 && !s.ended && s.link.connected && !s.link.lost &&
            cli_link_ask(&s.link, "ping", NULL, NULL) != CLI_OK && code == CLI_OK)
            code = CLI_FAILED;
    }
    s.ended = true;
    cli_link_close(&s.link, CLOSE_MS);
    cli_out_fini(&s.out);
    return code;
}
