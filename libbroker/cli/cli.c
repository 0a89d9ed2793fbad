#include "libbroker/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libbroker/cli/text.h"

static const struct cli_option common[] = {
    {"server", 's', CLI_LIST, offsetof(struct cli, urls), "URL",
     "a broker's address, may be repeated (BROKER_URL, tcp://127.0.0.1:7070)", NULL},
    {"name", 0, CLI_TEXT, offsetof(struct cli, name), "NAME",
     "what the broker calls this client in its lists", NULL},
    {"timeout", 0, CLI_TIME, offsetof(struct cli, timeout_ms), "TIME",
     "give up after so long, exit 5 (5, 500ms, 2m; questions: 10s, else never)", NULL},
    {"patience", 0, CLI_TIME, offsetof(struct cli, patience_ms), "TIME",
     "how long a lost connection may stay lost, then exit 3 (60s)", NULL},
    {"json", 'j', CLI_FLAG, offsetof(struct cli, json), NULL, "machine-readable output", NULL},
    {"quiet", 'q', CLI_FLAG, offsetof(struct cli, quiet), NULL, "only errors on stderr", NULL},
    {"help", 'h', CLI_FLAG, offsetof(struct cli, help), NULL, "this help", NULL},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, NULL},
};

const struct cli_option *cli_common_options(void)
{
    return common;
}

/* One line in one write, so that lines of several processes do not mix. */
static void say(const struct cli *cli, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void say(const struct cli *cli, const char *format, va_list args)
{
    char line[1024], *plain;
    int n = snprintf(line, sizeof line, "%s: ", cli->title);

    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    plain = cli_plain(line, strlen(line)); /* it may repeat what a peer said */
    fprintf(stderr, "%s\n", plain ? plain : line);
    free(plain);
}

int cli_error(const struct cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(cli, format, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(cli, format, args);
    va_end(args);
    fprintf(stderr, "Try `%s --help`.\n", cli->title);
    return CLI_USAGE;
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet)
        return;
    va_start(args, format);
    say(cli, format, args);
    va_end(args);
}

bool cli_interrupted(const struct cli *cli)
{
    return *cli->interrupts != 0;
}

int64_t cli_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
