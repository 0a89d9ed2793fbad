/* The lanes of a link: what is sent when, what is sent again, what is answered. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "brokerd/store/redis/internal.h"

enum {
    REDIRECTS_AT_ONCE = 3, /* then there is a wait between them */
    TURNED_MIN_MS = 20,    /* the first wait of what Redis turned away */
    TURNED_MAX_MS = 1000,
    SHARE = 4, /* a lane has at most this part of a link's limits */
};

struct lane *lane_get(struct link *l, uint16_t slot)
{
    struct lane *lane = l->lanes[slot];

    if (lane)
        return lane;
    lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->slot = slot;
    lane->due.key = INT64_MAX;
    list_init(&lane->back);
    list_init(&lane->waiting);
    if (heap_push(&l->due, &lane->due) < 0) {
        free(lane);
        return NULL;
    }
    l->lanes[slot] = lane;
    return lane;
}

static void free_all(struct list *list)
{
    struct list_node *n;

    while ((n = list_pop(list)) != NULL)
        free(LIST_ITEM(n, struct command, link));
}

void lane_free(struct lane *lane)
{
    if (!lane)
        return;
    free_all(&lane->back);
    free_all(&lane->waiting);
    free(lane);
}

/* ---------------------------------------------------------------------------------------- limits
 */

bool lane_has_room(struct link *l, struct lane *lane, size_t size)
{
    const struct link_counts *c = &l->counts;

    if (c->in_flight && (c->in_flight >= l->o.commands_max || c->bytes + size > l->o.bytes_max)) {
        l->is_refused = true;
        return false;
    }
    if (lane->commands && (lane->commands >= l->o.commands_max / SHARE ||
                           lane->bytes + size > l->o.bytes_max / SHARE)) {
        lane->is_refused = true;
        return false;
    }
    return true;
}

/* Told when there is room for a good many, not for each one. */
static void note_room(struct link *l, struct lane *lane)
{
    const struct link_counts *c = &l->counts;

    if (l->is_refused && c->in_flight <= l->o.commands_max / 4 * 3 &&
        c->bytes <= l->o.bytes_max / 4 * 3) {
        l->is_refused = false;
        l->is_room = true;
    }
    if (lane->is_refused && lane->commands <= l->o.commands_max / SHARE / 2 &&
        lane->bytes <= l->o.bytes_max / SHARE / 2) {
        lane->is_refused = false;
        l->is_room = true;
    }
}

static void answer(struct link *l, struct lane *lane, struct command *cmd,
                   const struct link_answer *a)
{
    lane->commands--;
    lane->bytes -= cmd->size;
    l->counts.in_flight--;
    l->counts.bytes -= cmd->size;
    l->counts.unsent += a->outcome == LINK_UNSENT;
    l->counts.unknown += a->outcome == LINK_UNKNOWN;
    note_room(l, lane);
    cmd->done(cmd->ctx, a);
    free(cmd);
}

/* --------------------------------------------------------------------------------------- sending
 */

static struct command *first_of(const struct list *list)
{
    struct list_node *n = list_first(list);

    return n ? LIST_ITEM(n, struct command, link) : NULL;
}

/* What was turned away comes before what is new. */
static void take_back(struct lane *lane)
{
    struct list_node *n;

    if (lane->in_flight)
        return;
    while ((n = list_last(&lane->back)) != NULL) {
        list_remove(n);
        list_push_front(&lane->waiting, n);
    }
}

/* Where it would go. */
static struct rpeer *route(const struct link *l, struct command *cmd)
{
    if (cmd->ask && cmd->ask->state == PEER_DOWN && cmd->ask->tries)
        cmd->ask = NULL; /* nobody is there: perhaps the other one knows more by now */
    if (cmd->ask)
        return cmd->ask;
    return l->map ? l->map[cmd->slot] : l->master;
}

/* By whom it can be sent now, without overtaking; NULL: nobody. */
static struct rpeer *way(const struct link *l, const struct lane *lane, struct command *cmd)
{
    struct rpeer *p = route(l, cmd);

    if (!p || !rpeer_is_ready(p) || p->is_tired || !list_empty(&lane->back) ||
        l->now_ms < lane->retry_ms || l->now_ms >= cmd->deadline_ms)
        return NULL;
    /* After a refusal one goes alone, until one has succeeded. */
    if (lane->in_flight && (lane->tries || p != lane->on || (cmd->ask != NULL) != lane->asking))
        return NULL;
    return p;
}

static void send_by(struct lane *lane, struct command *cmd, struct rpeer *p)
{
    lane->on = p;
    lane->asking = cmd->asking = cmd->ask != NULL;
    lane->in_flight++;
    rpeer_send(p, cmd);
}

/* While something is in flight its answer is waited for. */
static void schedule(struct link *l, struct lane *lane)
{
    const struct command *cmd = first_of(&lane->waiting);
    int64_t due = INT64_MAX;

    if (cmd && !lane->in_flight) {
        due = cmd->deadline_ms;
        if (lane->retry_ms > l->now_ms && lane->retry_ms < due)
            due = lane->retry_ms;
    }
    if (due != lane->due.key)
        heap_update(&l->due, &lane->due, due);
}

void lane_send(struct link *l, struct lane *lane)
{
    struct command *cmd;
    struct rpeer *p;

    take_back(lane);
    while ((cmd = first_of(&lane->waiting)) != NULL && (p = way(l, lane, cmd)) != NULL) {
        list_remove(&cmd->link);
        send_by(lane, cmd, p);
    }
    schedule(l, lane);
}

void lane_add(struct link *l, struct lane *lane, struct command *cmd)
{
    struct rpeer *p;

    lane->commands++;
    lane->bytes += cmd->size;
    l->counts.in_flight++;
    l->counts.bytes += cmd->size;
    if (list_empty(&lane->waiting) && (p = way(l, lane, cmd)) != NULL) {
        send_by(lane, cmd, p);
        return;
    }
    list_push_back(&lane->waiting, &cmd->link);
    schedule(l, lane);
}

/* ---------------------------------------------------------------------------------------- answers
 */

/* Why nobody takes it. */
static const char *why_not(const struct link *l, struct command *cmd)
{
    const struct rpeer *p = route(l, cmd);

    if (l->text[0])
        return l->text;
    return p ? "not connected yet" : "nobody has its slot";
}

void lane_wait_longer(struct link *l, struct lane *lane, int64_t ms)
{
    for (struct list_node *n = list_first(&lane->waiting); n; n = list_next(&lane->waiting, n))
        LIST_ITEM(n, struct command, link)->deadline_ms += ms;
    schedule(l, lane);
}

void lane_expire(struct link *l, struct lane *lane)
{
    struct command *cmd;

    take_back(lane);
    while (!lane->in_flight && (cmd = first_of(&lane->waiting)) != NULL &&
           cmd->deadline_ms <= l->now_ms) {
        const struct link_answer a = {.outcome = LINK_UNSENT, .text = why_not(l, cmd)};

        list_remove(&cmd->link);
        answer(l, lane, cmd, &a);
    }
}

static void turn_back(struct link *l, struct lane *lane, struct rpeer *p, struct command *cmd,
                      const struct turned *t)
{
    unsigned at_once = t->turn == TURN_MOVED || t->turn == TURN_ASK ? REDIRECTS_AT_ONCE : 0;

    l->counts.moved += t->turn == TURN_MOVED;
    l->counts.asked += t->turn == TURN_ASK;
    l->counts.retried += t->turn == TURN_LATER || t->turn == TURN_REPLICA;
    cmd->ask = l->topology->turned(p, t);
    /* Of those in flight together only the first counts as a try. */
    if (list_empty(&lane->back)) {
        lane->retry_ms =
            lane->tries < at_once
                ? 0
                : l->now_ms + link_backoff(l, lane->tries - at_once, TURNED_MIN_MS, TURNED_MAX_MS);
        lane->tries++;
    }
    list_push_back(&lane->back, &cmd->link);
}

void lane_replied(struct rpeer *p, struct command *cmd, const struct redisReply *reply)
{
    struct link *l = p->link;
    struct lane *lane = l->lanes[cmd->slot];
    struct turned t = slots_turned(reply);

    lane->in_flight--;
    if ((t.turn == TURN_MOVED || t.turn == TURN_ASK) && !l->topology->has_slots)
        t.turn = TURN_NOT;
    if (t.turn != TURN_NOT) {
        link_note(l, p, "%.*s", (int)(reply->len < 100 ? reply->len : 100), reply->str);
        turn_back(l, lane, p, cmd, &t);
    } else {
        const struct link_answer a = {.outcome = LINK_REPLIED, .reply = reply, .via = p->via};

        lane->tries = 0;
        answer(l, lane, cmd, &a);
    }
    if (!list_empty(&lane->waiting) || !list_empty(&lane->back))
        lane_send(l, lane);
}

void lane_lost(struct rpeer *p, struct command *cmd, bool sent, const char *text)
{
    struct link *l = p->link;
    struct lane *lane = l->lanes[cmd->slot];
    const struct link_answer a = {.outcome = LINK_UNKNOWN, .text = text, .via = p->via};

    lane->in_flight--;
    if (sent)
        answer(l, lane, cmd, &a);
    else
        list_push_back(&lane->back, &cmd->link);
    l->is_pump_wanted = true;
}

void lane_forget(struct lane *lane, const struct rpeer *p)
{
    for (struct list_node *n = list_first(&lane->back); n; n = list_next(&lane->back, n))
        if (LIST_ITEM(n, struct command, link)->ask == p)
            LIST_ITEM(n, struct command, link)->ask = NULL;
    for (struct list_node *n = list_first(&lane->waiting); n; n = list_next(&lane->waiting, n))
        if (LIST_ITEM(n, struct command, link)->ask == p)
            LIST_ITEM(n, struct command, link)->ask = NULL;
}
