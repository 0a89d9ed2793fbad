#include "brokerd/core/patience.h"

void patience_init(struct patience *p)
{
    *p = (struct patience){.at_once = PATIENCE_SPELL, .spell = PATIENCE_SPELL};
}

bool patience_put_off(struct patience *p, uint64_t n, uint64_t next, int64_t now_ms)
{
    if (p->at_once) {
        p->at_once -= p->at_once != PATIENCE_NONE;
        return false;
    }
    if (n >= PATIENCE_MESSAGES) {
        p->is_tried = false;
        return false;
    }
    if (!p->is_tried) {
        p->is_tried = true;
        p->since_ms = now_ms;
        p->next = next;
        return true;
    }
    if (next == p->next && now_ms >= patience_due(p)) { /* only answers came meanwhile */
        patience_over(p);
        return false;
    }
    if (next == p->next || now_ms - p->since_ms < PATIENCE_SOON_MS)
        return true;
    /* It goes on. What spoke against it counts for less. */
    p->is_tried = false;
    if (p->spell > PATIENCE_SPELL)
        p->spell -= p->spell / 16;
    return false;
}

void patience_over(struct patience *p)
{
    p->is_tried = false;
    p->at_once = p->spell;
    p->spell = p->spell < PATIENCE_SPELL_MAX / 8 ? p->spell * 8 : PATIENCE_SPELL_MAX;
}
