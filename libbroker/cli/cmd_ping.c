/* cmd_ping.c - round trips to the broker. */
#include <stdlib.h>

#include "libbroker/cli/hist.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

struct ping_options {
    uint64_t count, interval_ms;
};

static const struct cli_option options[] = {
    {"count", 'n', CLI_COUNT, offsetof(struct ping_options, count), "COUNT",
     "how many round trips (1)", NULL},
    {"interval", 'i', CLI_TIME, offsetof(struct ping_options, interval_ms), "TIME",
     "time from one to the next (1s)", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

/* Let the connection live until `until_ns`, or a signal. */
static int rest(struct cli_link *l, int64_t until_ns)
{
    while (!cli_interrupted(l->cli)) {
        int64_t left_ns = until_ns - cli_now_ns();
        int r;

        if (left_ns <= 0)
            break;
        r = cli_link_wait(l, (int)(left_ns / 1000000) + 1, NULL);
        if (r != CLI_OK)
            return r;
    }
    return CLI_OK;
}

static int ping(struct cli_link *l, struct cli_hist *h)
{
    char text[CLI_NUMBER_MAX];
    int64_t start_ns = cli_now_ns(), took_ns;
    int r = cli_link_ask(l, "ping", NULL, NULL);

    if (r != CLI_OK)
        return r;
    took_ns = cli_now_ns() - start_ns;
    cli_hist_add(h, (uint64_t)took_ns);
    if (l->cli->json)
        printf("{\"url\":\"%s\",\"time_us\":%.1f}\n", broker_url(l->b), (double)took_ns / 1000);
    else
        printf("%s answered in %s\n", broker_url(l->b), cli_latency_text((uint64_t)took_ns, text));
    fflush(stdout);
    return CLI_OK;
}

static int run(struct cli *cli, void *given)
{
    const struct ping_options *o = given;
    uint64_t interval_ms = o->interval_ms ? o->interval_ms : 1000;
    struct cli_hist *h = calloc(1, sizeof *h);
    struct cli_link l;
    int r = h ? cli_link_open(&l, cli, NULL) : cli_error(cli, "out of memory");

    if (r == CLI_OK) {
        for (uint64_t i = 0; r == CLI_OK && i < (o->count ? o->count : 1); i++) {
            int64_t next_ns = cli_now_ns() + (int64_t)interval_ms * 1000000;

            if (i > 0 && cli_interrupted(cli))
                break;
            r = ping(&l, h);
            if (r == CLI_OK && i + 1 < o->count)
                r = rest(&l, next_ns);
        }
        cli_link_close(&l, 0);
    }
    if (h && h->n > 1) {
        char mean[CLI_NUMBER_MAX], p99[CLI_NUMBER_MAX], max[CLI_NUMBER_MAX];

        cli_note(cli, "%llu round trips: mean %s, p99 %s, max %s", (unsigned long long)h->n,
                 cli_latency_text(cli_hist_mean(h), mean),
                 cli_latency_text(cli_hist_at(h, 0.99), p99), cli_latency_text(h->max, max));
    }
    free(h);
    return r;
}

const struct cli_command cli_ping = {
    .name = "ping",
    .summary = "Ask the broker for a sign of life",
    .more = "The answer comes once all that this connection asked for before is ready.",
    .options = options,
    .options_size = sizeof(struct ping_options),
    .run = run,
};
