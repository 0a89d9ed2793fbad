#include "brokerd/worker/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_ordinary(size_t cap)
{
    return cap == BATCH_BYTES;
}

struct batch *batch_new(size_t cap)
{
    size_t size = sizeof(struct batch) + cap;
    struct batch *b = is_ordinary(cap) ? mmap(NULL, size, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                       : malloc(size);

    if (!b || b == MAP_FAILED)
        return NULL;
    *b = (struct batch){.cap = cap};
    return b;
}

void batch_free(struct batch *b)
{
    if (is_ordinary(b->cap))
        (void)munmap(b, sizeof *b + b->cap);
    else
        free(b);
}

struct entry *batch_add(struct batch *b, size_t size)
{
    struct entry *e = (struct entry *)(void *)(b->bytes + b->used);

    b->used += size;
    *e = (struct entry){.size = (uint32_t)size, .from = b->from};
    return e;
}

struct entry *batch_next(struct batch *b, size_t *at)
{
    struct entry *e;

    if (*at == b->used)
        return NULL;
    e = (struct entry *)(void *)(b->bytes + *at);
    *at += e->size;
    return e;
}

int mailbox_init(struct mailbox *m)
{
    atomic_init(&m->head, NULL);
    atomic_init(&m->asleep, false);
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return m->fd < 0 ? -errno : 0;
}

void mailbox_fini(struct mailbox *m)
{
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
}

/* Sequentially consistent, as all four of: push, then is the owner asleep? (here); asleep, then
 * is something there? (the owner). Whatever the order, one of them sees the other. */
void mailbox_push(struct mailbox *m, struct batch *newest, struct batch *oldest)
{
    struct batch *head = atomic_load_explicit(&m->head, memory_order_relaxed);

    do
        oldest->next = head;
    while (!atomic_compare_exchange_weak(&m->head, &head, newest));
}

bool mailbox_wake(struct mailbox *m)
{
    const uint64_t one = 1;
    ssize_t n;

    if (!atomic_load(&m->asleep) || !atomic_exchange(&m->asleep, false))
        return false;
    n = write(m->fd, &one, sizeof one);
    (void)n; /* it fails only after 2^64 - 2 wake-ups */
    return true;
}

struct batch *mailbox_take(struct mailbox *m)
{
    struct batch *newest, *oldest = NULL;

    if (mailbox_is_empty(m))
        return NULL;
    newest = atomic_exchange_explicit(&m->head, NULL, memory_order_acquire);
    while (newest) {
        struct batch *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool mailbox_is_empty(struct mailbox *m)
{
    return atomic_load(&m->head) == NULL;
}

void mailbox_sleep(struct mailbox *m)
{
    atomic_store(&m->asleep, true);
}

void mailbox_awake(struct mailbox *m)
{
    /* Usually the waker has done it; a store would take the line from all who look at it. */
    if (atomic_load_explicit(&m->asleep, memory_order_relaxed))
        atomic_store(&m->asleep, false);
}
