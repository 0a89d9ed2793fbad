/* patience.h - how soon a publisher hears that its messages have settled.
 *
 * Why      Each confirm costs the broker a write and the publisher a wake-up: with one message at
 *          a time as much again as half of the message itself. Many publishers do not wait for
 *          them, and then one confirm for many messages does as well.
 * Shape    Nobody says whether a publisher waits, so it is tried: now and then a confirm is put
 *          off. Who meanwhile publishes on is not waiting; it is told once in PATIENCE_SOON_MS or
 *          PATIENCE_MESSAGES, and the next confirm is put off again. Who publishes nothing for
 *          PATIENCE_LATE_MS perhaps waits: it is told at once for a spell, which is the longer the
 *          more often this has happened. So a publisher that does wait loses next to nothing:
 *          a few ms among 64 messages, 576, 4,672, 37,440..
 * Thread   The core's worker; plain values. */
#ifndef BROKERD_CORE_PATIENCE_H
#define BROKERD_CORE_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_SOON_MS = 3,
    PATIENCE_LATE_MS = 6,
    PATIENCE_MESSAGES = 32, /* more are not kept from it: it may have a window of its own */
    PATIENCE_SPELL = 64,    /* times it is told at once, at first */
    PATIENCE_SPELL_MAX = 1 << 18
};

/* Told at once whatever it does. */
#define PATIENCE_NONE UINT32_MAX

struct patience {
    int64_t since_ms; /* when news were put off */
    uint64_t next;    /* number of the message it had yet to publish then */
    uint32_t at_once; /* so many times more it is told at once */
    uint32_t spell;   /* how often that will be, should it turn out to wait */
    bool is_tried;    /* news are put off */
};

void patience_init(struct patience *p);

/* There are news of `n` messages, and message `next` has yet to be published. True: they can
 * wait, at most until patience_due(); else they are to be told. */
bool patience_put_off(struct patience *p, uint64_t n, uint64_t next, int64_t now_ms);

static inline int64_t patience_due(const struct patience *p)
{
    return p->since_ms + PATIENCE_LATE_MS;
}

/* That time has come, and it has published nothing since. */
void patience_over(struct patience *p);

#endif
