#include "libbroker/cli/link.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_TIMEOUT_MS = 10000, DEFAULT_PATIENCE_MS = 60000 };

/* ------------------------------------------------------------------------------ opening --- */

static void on_state(broker *b, const struct broker_event *ev, void *user)
{
    struct cli_link *l = user;

    (void)b;
    switch (ev->state) {
    case BROKER_STATE_CONNECTED:
        if (l->lost)
            cli_note(l->cli, "connected again to %s", ev->url);
        l->connected = true;
        l->lost = false;
        break;
    case BROKER_STATE_DISCONNECTED:
        l->error = ev->error;
        snprintf(l->text, sizeof l->text, "%s", ev->text);
        l->failures++;
        if (l->connected && !l->lost) {
            l->lost = true;
            l->lost_ns = cli_now_ns();
            cli_note(l->cli, "connection to %s lost (%s%s%s); trying again", ev->url,
                     broker_strerror(ev->error), *ev->text ? ": " : "", ev->text);
        }
        break;
    case BROKER_STATE_CLOSED:
        if (ev->error != BROKER_OK)
            l->error = ev->error;
        if (*ev->text)
            snprintf(l->text, sizeof l->text, "%s", ev->text);
        break;
    case BROKER_STATE_IDLE:
    case BROKER_STATE_CONNECTING:
    case BROKER_STATE_RECONNECTING:
        break;
    }
}

/* The addresses in one text, as the library wants them; NULL for its default, or no memory. */
static char *join(const struct cli_list *urls)
{
    size_t len = 1;
    char *all, *p;

    for (size_t i = 0; i < urls->n; i++)
        len += strlen(urls->item[i]) + 1;
    all = urls->n ? malloc(len) : NULL;
    if (!all)
        return NULL;
    p = all;
    for (size_t i = 0; i < urls->n; i++)
        p += sprintf(p, "%s%s", i ? "," : "", urls->item[i]);
    return all;
}

static size_t count_addresses(const char *urls)
{
    size_t n = 0;

    while (urls && *urls) {
        urls += strspn(urls, ", \t\n");
        if (*urls)
            n++;
        urls += strcspn(urls, ", \t\n");
    }
    return n ? n : 1;
}

static int connect_first(struct cli_link *l)
{
    int64_t end = l->cli->timeout_ms ? cli_now_ns() + (int64_t)l->cli->timeout_ms * 1000000 : 0;
    int r = broker_connect(l->b, 0);

    if (r < 0 && r != BROKER_TIMED_OUT && r != BROKER_DISCONNECTED)
        return cli_link_fail(l, "cannot connect", r, NULL);
    while (!l->connected) {
        r = cli_link_wait(l, 100, NULL);
        if (r != CLI_OK)
            return r;
        if (l->failures >= l->addresses && !l->connected)
            return cli_link_fail(l, "cannot connect", l->error ? l->error : BROKER_UNREACHABLE,
                                 l->text);
        if (end && cli_now_ns() > end)
            return cli_link_fail(l, "cannot connect", BROKER_TIMED_OUT, l->text);
        if (cli_interrupted(l->cli))
            return CLI_FAILED;
    }
    return CLI_OK;
}

int cli_link_open(struct cli_link *l, const struct cli *cli, struct broker_options *o)
{
    struct broker_options none = {0};
    uint64_t patience = cli->patience_ms ? cli->patience_ms : DEFAULT_PATIENCE_MS;
    char text[256] = "", *urls = join(&cli->urls);
    int r;

    if (!o)
        o = &none;
    *l = (struct cli_link){.cli = cli, .patience_ns = (int64_t)patience * 1000000};
    l->addresses = count_addresses(urls ? urls : getenv("BROKER_URL"));
    o->url = urls;
    o->name = cli->name;
    o->on_state = on_state;
    o->user = l;
    r = broker_new(o, &l->b, text, sizeof text);
    free(urls);
    if (r < 0) {
        cli_error(cli, "%s%s%s", broker_strerror(r), *text ? ": " : "", text);
        return r == BROKER_INVALID || r == BROKER_UNSUPPORTED ? CLI_USAGE : CLI_FAILED;
    }
    r = connect_first(l);
    if (r != CLI_OK)
        cli_link_close(l, 0);
    return r;
}

void cli_link_close(struct cli_link *l, int timeout_ms)
{
    if (l->b && timeout_ms > 0)
        (void)broker_close(l->b, timeout_ms); /* what did not settle has been looked at before */
    broker_free(l->b);
    l->b = NULL;
}

/* ------------------------------------------------------------------------------ driving --- */

static int check(struct cli_link *l)
{
    if (broker_state(l->b) == BROKER_STATE_CLOSED && l->leaving && l->error == BROKER_OK)
        return CLI_OK;
    if (broker_state(l->b) == BROKER_STATE_CLOSED)
        return cli_link_fail(l, l->connected ? "connection lost" : "cannot connect",
                             l->error ? l->error : BROKER_CLOSED, l->text);
    if (l->lost && cli_now_ns() - l->lost_ns > l->patience_ns) {
        cli_error(l->cli, "connection lost, and not repaired in time: %s%s%s",
                  broker_strerror(l->error), *l->text ? ": " : "", l->text);
        return CLI_UNREACHABLE;
    }
    return CLI_OK;
}

static int shorter(int a_ms, int b_ms)
{
    if (a_ms < 0)
        return b_ms;
    return b_ms < 0 || a_ms < b_ms ? a_ms : b_ms;
}

int cli_link_poll(struct cli_link *l, int timeout_ms, struct pollfd *fds, size_t n)
{
    int ms = shorter(timeout_ms, broker_timeout_ms(l->b));
    struct timespec wait;
    int r;

    fds[0] = (struct pollfd){.fd = broker_fd(l->b), .events = POLLIN};
    if (l->lost) /* patience has an end, whatever the library waits for */
        ms = shorter(ms, 1000);
    wait = (struct timespec){ms / 1000, (long)(ms % 1000) * 1000000};
    r = ppoll(fds, n, ms < 0 ? NULL : &wait, &l->cli->waiting);
    if (r < 0 && errno != EINTR)
        return cli_error(l->cli, "poll: %s", strerror(errno));
    for (size_t i = 0; r <= 0 && i < n; i++)
        fds[i].revents = 0;
    r = broker_process(l->b);
    if (r < 0 && r != BROKER_CLOSED)
        return cli_link_fail(l, "connection", r, NULL);
    return check(l);
}

int cli_link_wait(struct cli_link *l, int timeout_ms, struct pollfd *more)
{
    struct pollfd fds[2] = {{.fd = -1}};
    int r;

    if (more)
        fds[1] = *more;
    r = cli_link_poll(l, timeout_ms, fds, more ? 2 : 1);
    if (more)
        more->revents = fds[1].revents;
    return r;
}

/* ------------------------------------------------------------------------------- errors --- */

int cli_exit_code(int error, int reason)
{
    switch (error) {
    case BROKER_OK:
        return CLI_OK;
    case BROKER_TIMED_OUT:
        return CLI_TIMED_OUT;
    case BROKER_UNREACHABLE:
    case BROKER_DISCONNECTED:
    case BROKER_NAME:
    case BROKER_KEEPALIVE:
    case BROKER_DRAINING:
        return CLI_UNREACHABLE;
    case BROKER_SETUP_REFUSED:
        return reason == BROKER_REASON_DRAINING ? CLI_UNREACHABLE : CLI_DENIED;
    case BROKER_GAP:
        return CLI_LOST;
    case BROKER_INVALID: /* a name or number that this side found wrong */
        return CLI_USAGE;
    default:
        return reason == BROKER_REASON_DENIED ? CLI_DENIED : CLI_FAILED;
    }
}

int cli_link_fail(const struct cli_link *l, const char *what, int error, const char *text)
{
    bool said; /* by the broker, whose words need no preface */

    if (!text || !*text)
        text = l->b ? broker_errmsg(l->b) : "";
    said = *text && (error == BROKER_REFUSED || error == BROKER_FAILED);
    cli_error(l->cli, "%s%s%s%s%s", what ? what : "", what ? ": " : "",
              said ? "" : broker_strerror(error), *text && !said ? ": " : "", text);
    return cli_exit_code(error, broker_reason_of(text));
}

/* ------------------------------------------------------------------------------- asking --- */

struct answer {
    bool done;
    struct broker_receipt receipt;
    char text[512];
    json_t *json;
    bool unreadable;
};

static void on_answer(broker *b, const struct broker_receipt *r, broker_message *m, void *user)
{
    struct answer *a = user;

    (void)b;
    a->done = true;
    a->receipt = *r;
    snprintf(a->text, sizeof a->text, "%s", r->text);
    if (m && broker_message_size(m) > 0) {
        json_error_t e;

        a->json =
            json_loadb(broker_message_data(m, NULL), broker_message_size(m), JSON_ALLOW_NUL, &e);
        a->unreadable = !json_is_object(a->json);
        if (a->unreadable)
            snprintf(a->text, sizeof a->text, "%s", a->json ? "not an object" : e.text);
    }
}

static int wait_answer(struct cli_link *l, struct answer *a)
{
    int before = *l->cli->interrupts; /* a command told to stop may still ask, to end well */

    while (!a->done) {
        int r = cli_link_wait(l, BROKER_FOREVER, NULL);

        if (r != CLI_OK)
            return r;
        if (*l->cli->interrupts != before)
            return CLI_FAILED;
    }
    if (a->receipt.status != BROKER_OK)
        return cli_link_fail(l, NULL, a->receipt.status, a->text);
    if (a->unreadable)
        return cli_link_fail(l, "its answer", BROKER_PROTOCOL, a->text);
    return CLI_OK;
}

int cli_link_ask(struct cli_link *l, const char *command, json_t *request, json_t **ret_answer)
{
    uint64_t limit = l->cli->timeout_ms ? l->cli->timeout_ms : DEFAULT_TIMEOUT_MS;
    int timeout_ms = limit < INT_MAX ? (int)limit : INT_MAX;
    struct answer *a = calloc(1, sizeof *a);
    char *data = request ? json_dumps(request, JSON_COMPACT) : NULL;
    char route[64];
    int r;

    snprintf(route, sizeof route, "admin/%s", command);
    if (!a || (request && !data)) {
        r = cli_error(l->cli, "out of memory");
        goto out;
    }
    r = broker_request_async(l->b, route, data, data ? strlen(data) : 0, timeout_ms, on_answer, a);
    if (r < 0) {
        r = cli_link_fail(l, NULL, r, NULL);
        goto out;
    }
    r = wait_answer(l, a);
    if (!a->done) { /* its callback still comes, when the handle is freed */
        broker_free(l->b);
        l->b = NULL;
    }
    if (r == CLI_OK && ret_answer && !a->json)
        r = cli_link_fail(l, "its answer", BROKER_PROTOCOL, "there is nothing in it");
    if (r == CLI_OK && ret_answer)
        *ret_answer = json_incref(a->json);
out:
    if (a)
        json_decref(a->json);
    free(a);
    free(data);
    json_decref(request);
    return r;
}

int cli_ask(const struct cli *cli, const char *command, json_t *request, json_t **ret_answer)
{
    struct cli_link l;
    int r = cli_link_open(&l, cli, NULL);

    if (r != CLI_OK) {
        json_decref(request);
        return r;
    }
    r = cli_link_ask(&l, command, request, ret_answer);
    cli_link_close(&l, 0);
    return r;
}

int cli_print_json(const json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(6));

    if (!text)
        return CLI_FAILED;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == 0xc2 && p[1] && p[1] < 0xa0) /* a terminal may heed C1, too */
            printf("\\u00%02x", *++p);
        else if (*p == 0x7f)
            fputs("\\u007f", stdout);
        else
            putchar(*p);
    }
    free(text);
    putchar('\n');
    return CLI_OK;
}
