#include "brokerd/store/redis/rpeer.h"

#include <ctype.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/store/redis/internal.h"

enum { SAID_MAX = 160 }; /* bytes of an error of Redis that people are shown */

/* ------------------------------------------------------------------------------- what Redis said
 */

static bool is_error(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_ERROR;
}

/* An error for people; what is not fit to be shown is left out. Some Redis repeat in it what they
 * did not understand, so nothing is shown that has the password. */
static const char *said(const struct link *l, const struct redisReply *r, char buf[SAID_MAX + 1])
{
    const char *secret = l->url.password;
    size_t n = 0;

    if (r->type != REDIS_REPLY_ERROR)
        return "an answer that is none";
    if (*secret && memmem(r->str, r->len, secret, strlen(secret)))
        return "it refused (what it said has a secret in it)";
    for (size_t i = 0; i < r->len && n < SAID_MAX; i++)
        if (isprint((unsigned char)r->str[i]))
            buf[n++] = r->str[i];
    buf[n] = '\0';
    return buf;
}

static bool text_is(const struct redisReply *r, const char *word)
{
    return (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS) &&
           slice_eq(slice_of(r->str, r->len), slice_str(word));
}

/* ------------------------------------------------------------------------------------- greeting */

int rpeer_say(struct rpeer *p, enum command_kind kind, const char *const *words, unsigned n)
{
    struct command *cmd = command_of(kind, words, n);

    if (!cmd)
        return -ENOMEM;
    rpeer_send(p, cmd);
    return 0;
}

static int greet(struct rpeer *p, enum command_kind kind, const char *const *words, unsigned n)
{
    if (rpeer_say(p, kind, words, n) < 0)
        return -ENOMEM;
    p->greetings++;
    return 0;
}

static int log_in(struct rpeer *p)
{
    const struct redis_url *u = &p->link->url;
    const char *const with_user[] = {"AUTH", u->user, u->password};
    const char *const without[] = {"AUTH", u->password};
    char db[16];
    const char *const choose[] = {"SELECT", db};
    const char *const name[] = {"CLIENT", "SETNAME", p->link->name};
    int r = 0;

    (void)snprintf(db, sizeof db, "%u", u->db);
    if (*u->user)
        r = greet(p, COMMAND_LOGIN, with_user, 3);
    else if (*u->password)
        r = greet(p, COMMAND_LOGIN, without, 2);
    if (r == 0 && u->db && p->role != PEER_TELLER)
        r = greet(p, COMMAND_LOGIN, choose, 2);
    if (r == 0 && p->link->name)
        r = greet(p, COMMAND_NAME, name, 3);
    return r;
}

static int prepare(struct rpeer *p)
{
    static const char *const role[] = {"ROLE"};
    struct link *l = p->link;

    if (l->url.kind == REDIS_SENTINEL && greet(p, COMMAND_ROLE, role, 1) < 0)
        return -ENOMEM;
    for (unsigned i = 0; i < l->o.prepare_n; i++) {
        struct command *cmd = command_copy(l->prepare[i]);

        if (!cmd)
            return -ENOMEM;
        rpeer_send(p, cmd);
        p->greetings++;
    }
    return 0;
}

static int listen_to(struct rpeer *p)
{
    struct link *l = p->link;
    struct command *cmd = command_new(COMMAND_LISTEN, l->channels, l->o.channels_n + 1);

    if (!cmd)
        return -ENOMEM;
    cmd->skip = l->o.channels_n - 1;
    rpeer_send(p, cmd);
    p->greetings++;
    return 0;
}

static void become_ready(struct rpeer *p)
{
    p->state = PEER_READY;
    p->ready_ms = p->link->now_ms;
    p->via = ++p->link->via;
    p->text[0] = '\0';
    link_peer_ready(p);
}

static void on_open(void *ctx)
{
    struct rpeer *p = ctx;
    int r;

    p->state = PEER_GREETING;
    p->greetings = 0;
    r = log_in(p);
    if (r == 0 && p->role == PEER_MASTER)
        r = prepare(p);
    if (r == 0 && p->role == PEER_LISTENER)
        r = listen_to(p);
    if (r < 0)
        rconn_fail(p->conn, -ENOMEM, "no memory");
    else if (p->greetings == 0)
        become_ready(p);
}

/* Why what it answered will not do; NULL: it will. */
static const char *judge(struct rpeer *p, const struct command *cmd, const struct redisReply *r,
                         char buf[SAID_MAX + 1])
{
    const struct link *l = p->link;

    switch (cmd->kind) {
    case COMMAND_LOGIN: /* Sentinels often have no password, though the masters have */
        return is_error(r) && p->role != PEER_TELLER ? said(l, r, buf) : NULL;
    case COMMAND_LISTEN:
        return is_error(r) ? said(l, r, buf) : NULL;
    case COMMAND_ROLE:
        if (r->type != REDIS_REPLY_ARRAY || r->elements == 0)
            return said(l, r, buf);
        return text_is(r->element[0], "master") ? NULL : "it is not the master";
    case COMMAND_PREPARE:
        return l->o.prepared ? l->o.prepared(l->o.ctx, cmd->index, r) : NULL;
    case COMMAND_NAME:
    case COMMAND_USER:
    case COMMAND_PING:
    case COMMAND_SLOTS:
    case COMMAND_EPOCH:
    case COMMAND_MASTER:
    case COMMAND_NEWS:
        break;
    }
    return NULL;
}

static void greeted(struct rpeer *p, struct command *cmd, const struct redisReply *reply)
{
    char buf[SAID_MAX + 1];
    const char *why = judge(p, cmd, reply, buf);

    free(cmd);
    if (why)
        rconn_fail(p->conn, -EACCES, "%s", why);
    else if (--p->greetings == 0)
        become_ready(p);
}

/* ------------------------------------------------------------------------------ the connection's
 */

static void on_mark(void *ctx)
{
    link_mark(((struct rpeer *)ctx)->link);
}

/* message CHANNEL TEXT */
static bool is_message(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_ARRAY && r->elements == 3 && text_is(r->element[0], "message") &&
           r->element[1]->type == REDIS_REPLY_STRING && r->element[2]->type == REDIS_REPLY_STRING;
}

static bool on_unasked(void *ctx, const struct redisReply *reply)
{
    return ((struct rpeer *)ctx)->role != PEER_MASTER && is_message(reply);
}

static bool on_replied(void *ctx, struct command *cmd, const struct redisReply *reply)
{
    struct rpeer *p = ctx;

    if (!cmd) {
        if (p->role == PEER_MASTER || !is_message(reply))
            return false;
        link_peer_heard(p, slice_of(reply->element[1]->str, reply->element[1]->len),
                        slice_of(reply->element[2]->str, reply->element[2]->len));
        return true;
    }
    if (p->state == PEER_GREETING)
        greeted(p, cmd, reply);
    else
        link_peer_replied(p, cmd, reply);
    return true;
}

/* After a connection that lasted, or that we gave up, the first wait is the shortest again. */
static void on_closed(void *ctx, int error, const char *text)
{
    struct rpeer *p = ctx;
    struct link *l = p->link;
    bool is_ours = error == -ECONNABORTED;

    if (is_ours || (p->state == PEER_READY && l->now_ms - p->ready_ms >= STEADY_MS))
        p->tries = 0;
    p->state = PEER_DOWN;
    p->due_ms = l->now_ms + link_backoff(l, p->tries, l->o.backoff_min_ms, l->o.backoff_max_ms);
    p->tries += !is_ours;
    if (p->is_parked)
        p->due_ms = INT64_MAX;
    (void)snprintf(p->text, sizeof p->text, "%s", text);
    l->counts.failures += !is_ours;
    l->counts.timeouts += error == -ETIMEDOUT;
    l->counts.malformed += error == -EPROTO;
    link_peer_lost(p, is_ours ? NULL : p->text);
    rconn_free(p->conn);
    p->conn = NULL;
}

static const struct rconn_ops ops = {on_mark, on_open, on_replied, on_unasked, on_closed};

static struct rconn *connect_to(struct rpeer *p)
{
    struct link *l = p->link;
    const struct rconn_options o = {
        .base = l->o.base,
        .host = p->at.name,
        .port = p->at.port,
        .tls = l->tls,
        .timeout_ms = l->o.timeout_ms,
        .scratch = l->scratch,
        .ops = &ops,
        .ctx = p,
    };

    return rconn_new(&o, l->now_ms);
}

/* The listener has somewhere to go as soon as a master is ready. */
static void connect_now(struct rpeer *p)
{
    struct link *l = p->link;

    if (p->role != PEER_LISTENER || link_listener_place(l, &p->at))
        p->conn = connect_to(p);
    if (p->conn)
        p->state = PEER_OPENING;
    else
        p->due_ms = l->now_ms + l->o.backoff_max_ms;
}

/* ----------------------------------------------------------------------------------------- life */

struct rpeer *rpeer_new(struct link *l, enum rpeer_role role, const struct redis_host *at)
{
    struct rpeer *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->link = l;
    p->role = role;
    p->at = *at;
    list_push_back(&l->peers, &p->node);
    l->peers_n++;
    return p;
}

void rpeer_free(struct rpeer *p)
{
    if (!p)
        return;
    rconn_free(p->conn);
    list_remove(&p->node);
    p->link->peers_n--;
    free(p);
}

void rpeer_run(struct rpeer *p)
{
    if (p->state == PEER_DOWN && p->due_ms <= p->link->now_ms)
        connect_now(p);
    if (p->conn)
        rconn_run(p->conn, p->link->now_ms);
}

int64_t rpeer_due(const struct rpeer *p)
{
    return p->conn ? rconn_due(p->conn) : p->due_ms;
}

bool rpeer_is_idle(const struct rpeer *p)
{
    return !p->conn || rconn_is_idle(p->conn);
}

void rpeer_send(struct rpeer *p, struct command *cmd)
{
    rconn_send(p->conn, cmd, p->link->now_ms);
}

void rpeer_flush(struct rpeer *p)
{
    if (p->conn)
        rconn_flush(p->conn, p->link->now_ms);
}

void rpeer_drop(struct rpeer *p, const char *why)
{
    if (p->conn)
        rconn_fail(p->conn, -ECONNABORTED, "%s", why);
}

void rpeer_park(struct rpeer *p)
{
    p->is_parked = true;
    if (p->conn)
        rpeer_drop(p, "not needed now");
    else
        p->due_ms = INT64_MAX;
}

void rpeer_hurry(struct rpeer *p)
{
    p->is_parked = false;
    if (p->state == PEER_DOWN)
        p->due_ms = p->link->now_ms;
}
