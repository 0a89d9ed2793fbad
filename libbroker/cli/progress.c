#include "libbroker/cli/progress.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "libbroker/cli/text.h"

enum { EVERY_NS = 200000000 };

bool cli_progress(void *progress, uint64_t done, uint64_t total)
{
    struct cli_progress *p = progress;
    int64_t now_ns = cli_now_ns();
    char a[CLI_NUMBER_MAX], b[CLI_NUMBER_MAX];

    (void)ppoll(NULL, 0, &(struct timespec){0}, &p->cli->waiting); /* lets signals through */
    if (cli_interrupted(p->cli))
        return false;
    if (!p->next_ns)
        p->next_ns = now_ns + EVERY_NS; /* short work shows nothing */
    if (p->cli->quiet || now_ns < p->next_ns || !isatty(STDERR_FILENO))
        return true;
    p->next_ns = now_ns + EVERY_NS;
    p->shown = true;
    fprintf(stderr, "\r%s: %s of %s, %.0f %%\033[K", p->doing, cli_size_text(done, a),
            cli_size_text(total, b), total ? 100.0 * (double)done / (double)total : 100.0);
    return true;
}

void cli_progress_end(struct cli_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
