/* top.h - the most remarkable of many: deepest queues, busiest clients, slowest consumers.
 *
 * Shape    An ask visits all workers with top_visit(), and, where consumers are wanted, once more
 *          with top_visit_consumers(): a queue's worker tells who is slow, the consumer's own who
 *          that is. What all workers count is summed up on the way, in a->answer (sums_begin()).
 * Owner    Whoever made it, usually an ask.
 * Thread   That of the ask at the time. */
#ifndef BROKERD_ADMIN_TOP_H
#define BROKERD_ADMIN_TOP_H

#include "brokerd/admin/internal.h"

/* The best of many, by key, at most `limit`; best first. */
struct chosen {
    size_t n, limit;
    struct choice {
        uint64_t key[2];
        json_t *what;
    } * all;
};

/* As an array; what was chosen stays. */
json_t *chosen_list(const struct chosen *c);

struct top {
    struct inspect_totals totals;
    struct chosen queues, clients, consumers;
};

/* At most so many of each; NULL without memory. */
struct top *top_new(size_t queues, size_t clients, size_t consumers);
void top_free(struct top *t); /* NULL is fine */

void top_visit(struct ask *a, struct desk *d, struct top *t);
void top_visit_consumers(const struct desk *d, struct top *t);

#endif
