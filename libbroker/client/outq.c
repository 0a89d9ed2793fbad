#include "libbroker/client/outq.h"

#include <stdlib.h>

static struct cl_chunk *chunk_new(struct cl_outq *q, size_t n)
{
    size_t cap = n > CL_CHUNK_SIZE ? n : CL_CHUNK_SIZE;
    struct cl_chunk *c = NULL;

    if (cap == CL_CHUNK_SIZE && q->spare) {
        c = q->spare;
        q->spare = c->next;
        q->spares--;
    } else {
        c = malloc(sizeof *c + cap);
        if (!c)
            return NULL;
        c->cap = cap;
    }
    c->next = NULL;
    c->len = c->start = c->sendable = 0;
    c->first = c->last = 0;
    return c;
}

static void chunk_free(struct cl_outq *q, struct cl_chunk *c)
{
    if (c->cap == CL_CHUNK_SIZE && q->spares < CL_SPARES_MAX) {
        c->next = q->spare;
        q->spare = c;
        q->spares++;
        return;
    }
    free(c);
}

uint8_t *cl_outq_reserve(struct cl_outq *q, size_t n, bool *ret_fresh)
{
    struct cl_chunk *c = q->tail;
    bool fresh = !c || c->cap - c->len < n;

    if (fresh) {
        c = chunk_new(q, n);
        if (!c)
            return NULL;
        if (q->tail)
            q->tail->next = c;
        else
            q->head = c;
        q->tail = c;
        if (!q->at) {
            q->at = c;
            q->at_off = 0;
        }
    }
    if (ret_fresh)
        *ret_fresh = fresh;
    return c->bytes + c->len;
}

void cl_outq_commit(struct cl_outq *q, size_t n, bool sendable)
{
    struct cl_chunk *c = q->tail;

    c->len += n;
    q->held += n;
    if (sendable) {
        c->sendable = c->len;
        q->pending += n;
    }
}

int cl_outq_iov(const struct cl_outq *q, struct iovec *iov, int max, size_t max_bytes,
                size_t *ret_bytes)
{
    size_t off = q->at_off, sum = 0;
    int n = 0;

    for (struct cl_chunk *c = q->at; c && n < max && sum < max_bytes; c = c->next) {
        size_t left = c->sendable - off;

        if (left > max_bytes - sum)
            left = max_bytes - sum;
        if (left > 0) {
            iov[n].iov_base = c->bytes + off;
            iov[n].iov_len = left;
            n++;
            sum += left;
        }
        if (c->sendable < c->len)
            break;
        off = c->next ? c->next->start : 0;
    }
    *ret_bytes = sum;
    return n;
}

void cl_outq_wrote(struct cl_outq *q, size_t n)
{
    q->pending -= n;
    while (q->at) {
        size_t left = q->at->sendable - q->at_off, step = n < left ? n : left;

        q->at_off += step;
        n -= step;
        if (q->at_off < q->at->len || !q->at->next)
            return;
        q->at = q->at->next;
        q->at_off = q->at->start;
    }
}

struct cl_chunk *cl_outq_push_front(struct cl_outq *q, size_t n)
{
    struct cl_chunk *c = chunk_new(q, n);

    if (!c)
        return NULL;
    c->next = q->head;
    q->head = c;
    if (!q->tail)
        q->tail = c;
    return c;
}

void cl_outq_drop_head(struct cl_outq *q)
{
    struct cl_chunk *c = q->head;

    q->held -= c->len;
    if (c == q->tail) { /* the memory is warm: fill it again */
        c->len = c->start = c->sendable = 0;
        q->at_off = 0;
        return;
    }
    q->head = c->next;
    if (q->at == c) {
        q->at = c->next;
        q->at_off = q->at->start;
    }
    chunk_free(q, c);
}

void cl_outq_drop_written(struct cl_outq *q)
{
    while (q->head && q->head != q->at)
        cl_outq_drop_head(q);
    if (!q->head || q->at_off < q->head->len || q->head != q->tail || q->head->len == 0)
        return;
    if (q->head->cap > CL_CHUNK_SIZE) { /* do not sit on 64 MiB */
        cl_outq_clear(q);
        return;
    }
    cl_outq_drop_head(q);
}

void cl_outq_clear(struct cl_outq *q)
{
    for (struct cl_chunk *c = q->head, *next; c; c = next) {
        next = c->next;
        chunk_free(q, c);
    }
    q->head = q->tail = q->at = NULL;
    q->at_off = q->pending = q->held = 0;
}

void cl_outq_fini(struct cl_outq *q)
{
    cl_outq_clear(q);
    for (struct cl_chunk *c = q->spare, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    q->spare = NULL;
    q->spares = 0;
}
