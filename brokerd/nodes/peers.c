/* Who else there is, and what they want.
 *
 * A node that lives counts up in the hash of all, each second; who reads that it counts no more,
 * by the own clock and only as long as Redis answers, takes it for dead. So clocks need not agree,
 * and a Redis that is gone for an hour kills nobody. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/nodes/internal.h"

/* --------------------------------------------------------------------------- filters of others */

static void want(struct peer *p, struct slice filter)
{
    struct nodes *n = p->nodes;
    int r;

    if (map_find(&p->filters, filter) || !map_add(&p->filters, filter, p))
        return;
    r = tree_bind(n->wants, filter, p);
    if (r == 1 && core_outlet_bind(n->outlet, filter) < 0) {
        (void)tree_unbind(n->wants, filter, p);
        r = -ENOMEM;
    }
    if (r < 0)
        (void)map_del(&p->filters, filter); /* the next look at all of them tries again */
    n->wanted += r == 1;
}

static void want_no_more(struct peer *p, struct slice filter)
{
    struct nodes *n = p->nodes;
    struct map_entry *e = map_find(&p->filters, filter);

    if (!e)
        return;
    if (tree_unbind(n->wants, filter, p) == 1) {
        core_outlet_unbind(n->outlet, filter);
        n->wanted--;
    }
    map_remove(&p->filters, e);
}

static void want_nothing(struct peer *p)
{
    struct map_entry *e;

    while ((e = map_next(&p->filters, NULL)) != NULL) {
        char buf[NAME_MAX_BYTES];
        struct slice key = map_key(e);

        memcpy(buf, key.p, key.n);
        want_no_more(p, slice_of(buf, key.n));
    }
}

static bool is_filter(struct slice filter)
{
    return filter.n && filter.n <= NAME_MAX_BYTES && filter.p[0] != '$' &&
           !name_filter_error(filter);
}

/* What it wants is exactly this. */
static void want_these(struct peer *p, const struct redisReply *all)
{
    struct map these;
    struct map_entry *e, *next;

    map_init(&these, p->nodes->seed);
    for (size_t i = 0; i < all->elements && i <= NODES_FILTERS_MAX; i++) {
        struct slice filter = slice_of(all->element[i]->str, all->element[i]->len);

        if (all->element[i]->type != REDIS_REPLY_STRING || !is_filter(filter))
            continue;
        (void)map_put(&these, filter, p);
        want(p, filter);
    }
    for (e = map_next(&p->filters, NULL); e; e = next) {
        next = map_next(&p->filters, e);
        if (!map_find(&these, map_key(e))) {
            char buf[NAME_MAX_BYTES];
            struct slice key = map_key(e);

            memcpy(buf, key.p, key.n);
            want_no_more(p, slice_of(buf, key.n));
        }
    }
    map_fini(&these);
}

/* ------------------------------------------------------------------------------------ peers */

static void set_key(const struct nodes *n, const char *id, const char *what, char *key)
{
    (void)snprintf(key, KEY_MAX, "%s:{%%node.%s}:%s", n->prefix, id, what);
}

bool peers_known(const struct nodes *n)
{
    for (struct list_node *l = list_first(&n->peers); l; l = list_next(&n->peers, l)) {
        const struct peer *p = LIST_ITEM(l, struct peer, link);

        if (p->alive && !p->version)
            return false;
    }
    return n->scanned_ms != 0;
}

struct peer *peers_find(const struct nodes *n, struct slice id)
{
    for (struct list_node *l = list_first(&n->peers); l; l = list_next(&n->peers, l)) {
        struct peer *p = LIST_ITEM(l, struct peer, link);

        if (slice_eq(slice_str(p->id), id))
            return p;
    }
    return NULL;
}

static bool is_id(struct slice id)
{
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] >= 0x7f || memchr("{}%", id.p[i], 3))
            return false;
    return id.n && id.n < NODES_ID_MAX;
}

static unsigned count_peers(const struct nodes *n)
{
    unsigned k = 0;

    for (struct list_node *l = list_first(&n->peers); l; l = list_next(&n->peers, l))
        k++;
    return k;
}

struct peer *peers_get(struct nodes *n, struct slice id)
{
    struct peer *p = peers_find(n, id);

    if (p || !is_id(id) || slice_eq(id, slice_str(n->id)) || count_peers(n) >= NODES_MAX)
        return p;
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->nodes = n;
    memcpy(p->id, id.p, id.n);
    set_key(n, p->id, "in", p->inbox);
    map_init(&p->filters, n->seed);
    list_init(&p->ready);
    list_push_back(&n->peers, &p->link);
    return p;
}

static void set_alive(struct peer *p)
{
    struct nodes *n = p->nodes;

    p->silent_ms = 0;
    if (p->alive)
        return;
    p->alive = true;
    p->version = 0;
    p->mark = p->session != 0; /* it is to know that what came meanwhile was not for it */
    p->session = ++n->sessions;
    p->next = 1;
    n->facts.nodes++;
    nodes_tell(n, LEVEL_NOTICE, "node_up", p->id, "topics are shared with another node");
}

static void set_gone(struct peer *p, enum log_level level, const char *text)
{
    struct nodes *n = p->nodes;

    if (!p->alive)
        return;
    p->alive = false;
    want_nothing(p);
    out_forget(p);
    n->facts.nodes--;
    nodes_tell(n, level, "node_down", p->id, "%s", text);
    if (level == LEVEL_WARNING) /* it did not say good-bye */
        in_miss(n, p, 0, "what it had not sent yet");
}

static void peer_free(struct peer *p)
{
    struct nodes *n = p->nodes;

    if (n->from == p)
        n->from = NULL;
    list_remove(&p->link);
    map_fini(&p->filters);
    free(p);
}

static void ask_filters(struct peer *p, uint64_t version);

static void on_filters(void *ctx, const struct link_answer *a)
{
    struct peer *p = ctx;

    p->reading = false;
    if (!p->alive)
        return;
    if (answer_is_good(a) && a->reply->type == REDIS_REPLY_ARRAY) {
        want_these(p, a->reply);
        p->version = p->asked_version;
    } else {
        nodes_trouble(p->nodes, "topics: what another node wants cannot be read", a);
    }
    if (p->reread)
        ask_filters(p, p->asked_version);
}

/* What it has had since that version, or a later one. */
static void ask_filters(struct peer *p, uint64_t version)
{
    char key[KEY_MAX];
    struct slice args[] = {SLICE("SMEMBERS"), {0}};

    if (p->reading) {
        p->reread = version > p->asked_version || p->reread;
        p->asked_version = version > p->asked_version ? version : p->asked_version;
        return;
    }
    set_key(p->nodes, p->id, "w", key);
    args[1] = slice_str(key);
    p->reread = false;
    p->mark |= p->next > 1; /* it may have lost something, and says all anew for that */
    p->asked_version = version;
    p->reading = nodes_send(p->nodes, args, 2, on_filters, p) == 0;
}

/* ------------------------------------------------------------------------------- the directory */

/* "BEAT VERSION" */
static bool parse_state(const struct redisReply *r, uint64_t *beat, uint64_t *version)
{
    char *end;

    if (r->type != REDIS_REPLY_STRING)
        return false;
    *beat = strtoull(r->str, &end, 10);
    if (*end != ' ')
        return false;
    *version = strtoull(end, &end, 10);
    return *end == '\0';
}

static void see(struct nodes *n, const struct redisReply *id, const struct redisReply *state)
{
    struct peer *p;
    uint64_t beat, version;

    if (id->type != REDIS_REPLY_STRING || !parse_state(state, &beat, &version))
        return;
    p = peers_get(n, slice_of(id->str, id->len));
    if (!p)
        return;
    p->seen = true;
    if (beat != p->beat) {
        p->beat = beat;
        set_alive(p);
    }
    if (p->alive && version != p->version)
        ask_filters(p, version);
}

/* Those that said nothing since the last look, which was `ms` ago. */
static void grow_silent(struct nodes *n, int64_t ms)
{
    struct list_node *l, *next;

    for (l = list_first(&n->peers); l; l = next) {
        struct peer *p = LIST_ITEM(l, struct peer, link);
        struct slice del[] = {SLICE("HDEL"), slice_str(n->directory), slice_str(p->id)};
        bool seen = p->seen;

        next = list_next(&n->peers, l);
        p->seen = false;
        p->silent_ms += ms;
        if (p->silent_ms >= NODES_DEAD_MS)
            set_gone(p, LEVEL_WARNING, "a node that shared topics is not there any more");
        if (p->silent_ms < NODES_FORGET_MS)
            continue;
        if (seen)
            (void)nodes_send(n, del, 3, NULL, NULL);
        else if (!p->reading)
            peer_free(p);
    }
}

static void on_directory(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;
    int64_t ms = n->now_ms - n->scanned_ms;

    n->scanning = false;
    if (!answer_is_good(a) || a->reply->type != REDIS_REPLY_ARRAY) {
        nodes_trouble(n, "topics: other nodes cannot be seen", a);
        return;
    }
    grow_silent(n, ms < 2 * NODES_BEAT_MS ? ms : 2 * NODES_BEAT_MS);
    n->scanned_ms = n->now_ms;
    for (size_t i = 0; i + 1 < a->reply->elements; i += 2)
        see(n, a->reply->element[i], a->reply->element[i + 1]);
}

static void scan(struct nodes *n)
{
    struct slice args[] = {SLICE("HGETALL"), slice_str(n->directory)};

    if (!n->scanning && nodes_send(n, args, 2, on_directory, n) == 0)
        n->scanning = true;
}

/* ID VERSION\n, and then what has changed: + or -, a length, a filter. */
static void apply(struct peer *p, struct slice changes)
{
    while (changes.n >= 2 && changes.n >= 2 + (size_t)changes.p[1]) {
        struct slice filter = slice_of(changes.p + 2, changes.p[1]);

        if (changes.p[0] == '+' && is_filter(filter))
            want(p, filter);
        else if (changes.p[0] == '-')
            want_no_more(p, filter);
        changes = slice_from(changes, 2 + filter.n);
    }
}

void peers_hear(struct nodes *n, struct slice text)
{
    const uint8_t *blank = text.n ? memchr(text.p, ' ', text.n) : NULL;
    const uint8_t *line = text.n ? memchr(text.p, '\n', text.n) : NULL;
    char number[24] = "";
    uint64_t version;
    struct slice changes;
    struct peer *p;

    if (!blank || !line || line < blank || line - blank > 21)
        return;
    p = peers_find(n, slice_of(text.p, (size_t)(blank - text.p)));
    if (!p || !p->alive) {
        if (!slice_eq(slice_of(text.p, (size_t)(blank - text.p)), slice_str(n->id)))
            scan(n);
        return;
    }
    memcpy(number, blank + 1, (size_t)(line - blank - 1));
    if (strcmp(number, "bye") == 0) {
        set_gone(p, LEVEL_NOTICE, "a node that shared topics has stopped");
        return;
    }
    version = strtoull(number, NULL, 10);
    changes = slice_from(text, (size_t)(line + 1 - text.p));
    if (version <= p->version && !p->reading)
        return;
    if (version == p->version + 1 && !p->reading && changes.n) {
        apply(p, changes);
        p->version = version;
    } else {
        ask_filters(p, version);
    }
}

/* --------------------------------------------------------------------------------- the own beat */

/* Who was in it before, and is not now, was taken for dead: nothing was sent to it. */
static void on_said_alive(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;
    long long made;

    if (!answer_number(a, &made))
        return;
    if (made && n->listed)
        in_miss(n, NULL, 0, "the list of nodes did not have this one any more");
    n->listed = true;
}

static void say_alive(struct nodes *n)
{
    char state[48];
    struct slice args[] = {SLICE("HSET"), slice_str(n->directory), slice_str(n->id), {0}};

    (void)snprintf(state, sizeof state, "%llu %llu", (unsigned long long)++n->beat,
                   (unsigned long long)n->version);
    args[3] = slice_str(state);
    (void)nodes_send(n, args, 4, on_said_alive, n);
}

static void on_inbox_made(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;

    n->has_inbox =
        answer_is_good(a) || (a->reply && a->reply->type == REDIS_REPLY_ERROR &&
                              slice_starts(slice_str(a->reply->str), SLICE("BUSYGROUP")));
    if (n->has_inbox)
        n->beat_ms = 0;
    else
        nodes_trouble(n, "topics: no inbox can be made", a);
}

/* A stream there is, though empty; the group is of no further use. */
static void make_inbox(struct nodes *n)
{
    struct slice args[] = {SLICE("XGROUP"), SLICE("CREATE"), slice_str(n->inbox_key),
                           SLICE("w"),      SLICE("0"),      SLICE("MKSTREAM")};
    struct link_command cmd = {args, 6, link_slot(slice_str(n->inbox_key))};

    (void)link_send(n->link, &cmd, on_inbox_made, n);
}

static void on_inbox_kept(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;
    long long kept;

    if (!answer_number(a, &kept))
        return;
    n->kept_ms = n->now_ms;
    if (kept)
        return;
    n->has_inbox = false;
    in_miss(n, NULL, 0, "Redis has lost this node's inbox");
    make_inbox(n);
}

static void on_wants_counted(void *ctx, const struct link_answer *a)
{
    struct nodes *n = ctx;
    size_t count = n->everything ? 1 : interest_count(&n->interest);
    long long there;

    if (answer_number(a, &there) && n->told && !n->telling && !interest_has_news(&n->interest) &&
        (unsigned long long)there != count) {
        n->clear = (unsigned long long)there > count;
        tell_again(n); /* Redis has lost some, or did not hear of all that is wanted no more */
    }
}

static void keep(struct nodes *n, const char *key, link_answer_fn *done)
{
    char ms[16];
    struct slice args[] = {SLICE("PEXPIRE"), slice_str(key), {0}};

    (void)snprintf(ms, sizeof ms, "%d", NODES_KEEP_MS);
    args[2] = slice_str(ms);
    (void)nodes_send(n, args, 3, done, n);
}

void peers_beat(struct nodes *n)
{
    struct slice count[] = {SLICE("SCARD"), slice_str(n->wants_key)};

    n->beat_ms = n->now_ms + NODES_BEAT_MS;
    out_tell(n);
    in_tell_people(n, n->id);
    if (!n->up || n->stopping)
        return;
    if (!n->has_inbox) {
        make_inbox(n);
        return;
    }
    keep(n, n->inbox_key, on_inbox_kept);
    if (n->told && !n->telling) {
        keep(n, n->wants_key, NULL);
        (void)nodes_send(n, count, 2, on_wants_counted, n);
        say_alive(n);
    }
    scan(n);
    out_mark(n);
}

void peers_free(struct nodes *n)
{
    struct list_node *l;

    while ((l = list_first(&n->peers)) != NULL)
        peer_free(LIST_ITEM(l, struct peer, link));
}
