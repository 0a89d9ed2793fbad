/* stalled: a subscriber that stops asking for more, and later goes on.
 *
 *   stalled FILTER [KEY=VALUE]...
 *
 * Subscribes (with the given settings), takes one message and gives no credit for another. Prints
 * "subscribed", then waits for a line on stdin; then takes everything up to a message that is just
 * "end", and prints what it got and what it was told it lost:
 *
 *   delivered 17
 *   lost 983 drop-oldest
 *   ended full            (if the broker ended the subscription, and why) */
#include <broker.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000, MAX_SETTINGS = 8, REASONS = 64 };

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

/* Take everything up to the end; 0, or the reason for which the broker ended it. */
static int take_all(broker *b, broker_subscription *s, uint64_t *ret_delivered, uint64_t *lost)
{
    for (;;) {
        struct broker_gap gap;
        broker_message *m;
        int r = broker_next(s, WAIT_MS, &m);
        bool end;

        if (r == BROKER_REFUSED || r == BROKER_FAILED)
            return broker_reason_of(broker_errmsg(b));
        if (r == BROKER_GAP) {
            broker_last_gap(s, &gap);
            if (gap.count == 0 || gap.reason < 0 || gap.reason >= REASONS)
                die("a gap of unknown size: the connection was lost");
            lost[gap.reason] += gap.count;
            continue;
        }
        if (r < 0)
            die("next: %s: %s", broker_strerror(r), broker_errmsg(b));
        end = broker_message_size(m) == 3 && memcmp(broker_message_data(m, NULL), "end", 3) == 0;
        broker_message_unref(m);
        if (end)
            return 0;
        ++*ret_delivered;
    }
}

static size_t settings_of(char **args, struct broker_header *ret)
{
    size_t n = 0;

    for (; *args && n < MAX_SETTINGS; args++, n++) {
        char *equals = strchr(*args, '=');

        if (!equals)
            die("not KEY=VALUE: %s", *args);
        *equals = '\0';
        ret[n] = (struct broker_header){*args, equals + 1};
    }
    return n;
}

static broker_subscription *subscribe(broker *b, char *filter, char **args)
{
    struct broker_header settings[MAX_SETTINGS];
    struct broker_subscribe_options o = {.credit = 1, .manual_credit = true, .settings = settings};
    const char *const filters[] = {filter};
    broker_subscription *s;

    o.setting_count = settings_of(args, settings);
    /* The library's own thread answers keep-alives while this one waits for stdin. */
    if (broker_start(b) < 0 || broker_connect(b, WAIT_MS) < 0 ||
        broker_subscribe(b, filters, 1, &o, &s) < 0 || broker_ping(b, WAIT_MS) < 0)
        die("subscribe: %s", broker_errmsg(b));
    return s;
}

int main(int argc, char **argv)
{
    uint64_t delivered = 0, lost[REASONS] = {0};
    broker_subscription *s;
    broker *b;
    char text[256];
    int reason;

    if (argc < 2)
        die("usage: stalled FILTER [KEY=VALUE]...");
    if (broker_new(NULL, &b, text, sizeof text) < 0)
        die("%s", text);
    s = subscribe(b, argv[1], argv + 2);
    (void)puts("subscribed");
    (void)fflush(stdout);
    if (!fgets(text, sizeof text, stdin))
        die("stdin ended");
    if (broker_grant(s, BROKER_UNLIMITED) == BROKER_INVALID)
        die("grant: %s", broker_errmsg(b));
    reason = take_all(b, s, &delivered, lost);
    (void)printf("delivered %llu\n", (unsigned long long)delivered);
    for (int i = 0; i < REASONS; i++) {
        if (lost[i])
            (void)printf("lost %llu %s\n", (unsigned long long)lost[i], broker_reason_word(i));
    }
    if (reason)
        (void)printf("ended %s\n", broker_reason_word(reason));
    broker_unsubscribe(s);
    broker_free(b);
    return 0;
}
