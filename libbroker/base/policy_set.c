/* The rules of one settings file: two arrays, looked through from the end, for the last match
 * wins. They are short (tens of sections) and looked at when a queue is made, never per message. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "libbroker/base/policy.h"

struct rules {
    struct policy_rule builtin; /* where none matches */
    struct policy_rule *list;
    size_t n, room;
};

struct policy_set {
    atomic_uint refs;
    struct policy_globals globals;
    struct rules rules[2]; /* by enum policy_kind */
};

struct policy_globals policy_globals_default(void)
{
    return (struct policy_globals){
        .max_message_bytes = 64ULL << 20, .create_queues = true, .max_calls = 10000};
}

int policy_set_new(const struct policy_globals *globals, struct policy_set **ret_set)
{
    struct policy_set *set = calloc(1, sizeof *set);

    if (!set)
        return -ENOMEM;
    atomic_init(&set->refs, 1);
    set->globals = *globals;
    for (int kind = POLICY_QUEUE; kind <= POLICY_SUBSCRIPTION; kind++) {
        set->rules[kind].builtin.filter = "#";
        set->rules[kind].builtin.policy = policy_default((enum policy_kind)kind);
    }
    *ret_set = set;
    return 0;
}

/* A rule owns one block of memory: its array of binds, then all texts. `filter` points into it,
 * and so do the binds; the block is what `binds` points to. */
static int rule_make(struct slice filter, const struct queue_policy *policy,
                     const struct slice *binds, size_t n_binds, struct policy_rule *ret_rule)
{
    size_t size = n_binds * sizeof(char *) + filter.n + 1;
    const char **block;
    char *at;

    for (size_t i = 0; i < n_binds; i++)
        size += binds[i].n + 1;
    block = calloc(1, size); /* zeroed: it terminates every text */
    if (!block)
        return -ENOMEM;
    at = (char *)(block + n_binds);
    for (size_t i = 0; i < n_binds; i++) {
        block[i] = memcpy(at, binds[i].p, binds[i].n);
        at += binds[i].n + 1;
    }
    *ret_rule = (struct policy_rule){
        .filter = memcpy(at, filter.p, filter.n),
        .policy = *policy,
        .binds = block,
        .n_binds = n_binds,
    };
    return 0;
}

int policy_set_add(struct policy_set *set, enum policy_kind kind, struct slice filter,
                   const struct queue_policy *policy, const struct slice *binds, size_t n_binds)
{
    struct rules *rules = &set->rules[kind];
    struct policy_rule *list;
    int r;

    if (name_filter_error(filter) || (n_binds && kind != POLICY_QUEUE))
        return -EINVAL;
    for (size_t i = 0; i < n_binds; i++) {
        if (name_filter_error(binds[i]))
            return -EINVAL;
    }
    if (rules->n == rules->room) {
        size_t room = rules->room ? rules->room * 2 : 8;

        list = reallocarray(rules->list, room, sizeof *list);
        if (!list)
            return -ENOMEM;
        rules->list = list;
        rules->room = room;
    }
    r = rule_make(filter, policy, binds, n_binds, &rules->list[rules->n]);
    if (r < 0)
        return r;
    rules->n++;
    return 0;
}

struct policy_set *policy_set_ref(struct policy_set *set)
{
    (void)atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

struct policy_set *policy_set_unref(struct policy_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (int kind = POLICY_QUEUE; kind <= POLICY_SUBSCRIPTION; kind++) {
        struct rules *rules = &set->rules[kind];

        for (size_t i = 0; i < rules->n; i++)
            free((void *)rules->list[i].binds); /* made by rule_make */
        free(rules->list);
    }
    free(set);
    return NULL;
}

const struct policy_globals *policy_set_globals(const struct policy_set *set)
{
    return &set->globals;
}

static const struct policy_rule *find_last(const struct rules *rules, struct slice name,
                                           bool (*takes)(struct slice, struct slice))
{
    for (size_t i = rules->n; i > 0; i--) {
        if (takes(slice_str(rules->list[i - 1].filter), name))
            return &rules->list[i - 1];
    }
    return &rules->builtin;
}

const struct policy_rule *policy_set_find_queue(const struct policy_set *set, struct slice name)
{
    return find_last(&set->rules[POLICY_QUEUE], name, name_filter_matches);
}

const struct policy_rule *policy_set_find_subscription(const struct policy_set *set,
                                                       struct slice filter)
{
    return find_last(&set->rules[POLICY_SUBSCRIPTION], filter, name_filter_covers);
}

const struct policy_rule *policy_set_rule(const struct policy_set *set, enum policy_kind kind,
                                          size_t i)
{
    const struct rules *rules = &set->rules[kind];

    return i < rules->n ? &rules->list[i] : NULL;
}
