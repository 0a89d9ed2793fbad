/* What is about to be published, read from memory for many messages at once. */
#include "brokerd/core/deliver.h"
#include "brokerd/core/mail.h"
#include "brokerd/core/route.h"
#include "brokerd/core/state.h"

void core_foresee(struct core *c, const struct slice *topics, unsigned n)
{
    struct route *const *route = routes_foresee(c->routes, topics, n);
    struct queue *queue[CORE_FORESEE_MAX];
    unsigned queues = 0;

    for (unsigned i = 0; i < n; i++)
        for (uint32_t k = 0; route[i] && k < route[i]->n && queues < CORE_FORESEE_MAX; k++)
            queue[queues++] = route[i]->queues[k];
    deliver_foresee(queue, queues);
}

void core_foresee_mail(struct core *c, struct entry *const *e, unsigned n)
{
    struct slice topic[CORE_FORESEE_MAX];
    unsigned topics = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct mail_run *m = (const struct mail_run *)e[i];

        if (e[i]->kind == MAIL_RUN && m->n == 1 && !m->queue)
            topic[topics++] = slice_of(m->bytes, m->topic_n);
    }
    if (topics > 1)
        core_foresee(c, topic, topics);
}
