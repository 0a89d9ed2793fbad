#include "libbroker/cli/publish.h"

#include <errno.h>
#include <string.h>

#include "broker.h"

enum { FIRST_LOSS = BROKER_REASON_DROP_OLDEST, REASONS = 32 };

/* ------------------------------------------------------------------------------- source --- */

static int peek_whole(struct cli_source *s)
{
    if (s->given >= (s->count ? s->count : 1))
        return -ENODATA;
    if (s->read && !s->loaded) {
        if (!s->reader.eof)
            return -EAGAIN;
        cli_reader_rest(&s->reader, &s->data, &s->len);
        s->loaded = true;
    }
    s->have = true;
    return 0;
}

int cli_source_peek(struct cli_source *s)
{
    int r;

    if (s->have)
        return 0;
    if (!s->lines)
        return peek_whole(s);
    if (s->count && s->given >= s->count)
        return -ENODATA;
    r = cli_reader_line(&s->reader, &s->data, &s->len);
    s->have = r == 0;
    return r;
}

void cli_source_take(struct cli_source *s)
{
    s->have = false;
    s->given++;
}

int64_t cli_source_wait_ns(const struct cli_source *s, int64_t now_ns)
{
    double due_ns;
    int64_t left_ns;

    if (s->rate == 0)
        return 0;
    due_ns = (double)s->given * 1e9 / (double)s->rate;
    left_ns = s->start_ns + (int64_t)due_ns - now_ns;
    return left_ns > 0 ? left_ns : 0;
}

/* -------------------------------------------------------------------------------- tally --- */

void cli_tally_add(struct cli_tally *t, uint64_t n, int reason, uint32_t matched, uint32_t accepted,
                   bool require)
{
    if (reason == BROKER_REASON_NONE && matched == accepted && matched > 0)
        t->accepted += n;
    else if (reason == BROKER_REASON_NO_MATCH && !require)
        t->unmatched += n;
    else if (reason <= BROKER_REASON_NONE || reason >= REASONS)
        t->unknown += n;
    else
        t->by_reason[reason] += n;
}

static uint64_t sum(const struct cli_tally *t, int from, int to)
{
    uint64_t n = 0;

    for (int i = from; i < to; i++)
        n += t->by_reason[i];
    return n;
}

uint64_t cli_tally_refused(const struct cli_tally *t)
{
    return sum(t, 0, FIRST_LOSS);
}

uint64_t cli_tally_dropped(const struct cli_tally *t)
{
    return sum(t, FIRST_LOSS, REASONS);
}

const char *cli_tally_reasons(const struct cli_tally *t, int from, int to, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = '\0';
    for (int i = from; i < to && used < size; i++) {
        if (t->by_reason[i])
            used += (size_t)snprintf(buf + used, size - used, "%s%llu %s", used ? ", " : "",
                                     (unsigned long long)t->by_reason[i], broker_reason_word(i));
    }
    return buf;
}

static void print_json(const struct cli_tally *t)
{
    const char *comma = "";

    printf("{\"published\":%llu,\"accepted\":%llu,\"unmatched\":%llu,\"unknown\":%llu,"
           "\"refused\":%llu,\"dropped\":%llu,\"reasons\":{",
           (unsigned long long)t->published, (unsigned long long)t->accepted,
           (unsigned long long)t->unmatched, (unsigned long long)t->unknown,
           (unsigned long long)cli_tally_refused(t), (unsigned long long)cli_tally_dropped(t));
    for (int i = 0; i < REASONS; i++) {
        if (t->by_reason[i] == 0)
            continue;
        printf("%s\"%s\":%llu", comma, broker_reason_word(i), (unsigned long long)t->by_reason[i]);
        comma = ",";
    }
    puts("}}");
}

int cli_tally_report(const struct cli_tally *t, const struct cli *cli, bool print)
{
    char why[512];
    unsigned long long all = t->published;
    unsigned long long refused = cli_tally_refused(t), dropped = cli_tally_dropped(t);

    if (print)
        print_json(t);
    if (t->unmatched)
        cli_note(cli, "%llu of %llu messages matched no queue: nobody is there to receive them",
                 (unsigned long long)t->unmatched, all);
    if (dropped)
        cli_note(cli, "%llu of %llu messages dropped by a queue: %s", dropped, all,
                 cli_tally_reasons(t, FIRST_LOSS, REASONS, why, sizeof why));
    if (refused)
        cli_error(cli, "%llu of %llu messages refused: %s", refused, all,
                  cli_tally_reasons(t, 0, FIRST_LOSS, why, sizeof why));
    if (t->unknown)
        cli_error(cli, "%llu of %llu messages: nothing is known of them",
                  (unsigned long long)t->unknown, all);
    if (refused == t->by_reason[BROKER_REASON_DENIED] && refused > 0)
        return CLI_DENIED;
    return refused || t->unknown ? CLI_FAILED : CLI_OK;
}
