/* command.h - one command to Redis, as it is written to a connection, and who waits for its answer.
 *
 * Owner    Whoever has it in a list.
 * Thread   One at a time. */
#ifndef BROKERD_STORE_REDIS_COMMAND_H
#define BROKERD_STORE_REDIS_COMMAND_H

#include "brokerd/store/redis/link.h"
#include "libbroker/base/list.h"

struct rpeer;

/* Who sent it. */
enum command_kind {
    COMMAND_USER,    /* by link_send() */
    COMMAND_LOGIN,   /* AUTH, SELECT: must succeed */
    COMMAND_NAME,    /* CLIENT SETNAME: need not */
    COMMAND_ROLE,    /* must say that it is a master */
    COMMAND_PREPARE, /* of options.prepare; `index` says which */
    COMMAND_PING,
    COMMAND_LISTEN, /* SUBSCRIBE */
    COMMAND_SLOTS,  /* CLUSTER SLOTS */
    COMMAND_EPOCH,  /* SENTINEL MASTER */
    COMMAND_MASTER, /* SENTINEL GET-MASTER-ADDR-BY-NAME */
    COMMAND_NEWS,   /* SUBSCRIBE, UNSUBSCRIBE of a Sentinel's news */
};

struct command {
    struct list_node link;
    enum command_kind kind;
    uint16_t slot;
    bool asking;       /* goes with ASKING before it */
    unsigned skip;     /* replies that come before its own and say nothing */
    unsigned index;    /* of COMMAND_PREPARE */
    struct rpeer *ask; /* where it is to be asked for, as it was told; NULL: where its slot is */
    link_answer_fn *done;
    void *ctx;
    int64_t deadline_ms; /* not sent after that */
    int64_t sent_ms;
    size_t size;
    uint8_t bytes[];
};

/* NULL: no memory. */
struct command *command_new(enum command_kind kind, const struct slice *args, unsigned n);

/* Of words, 8 at most. */
struct command *command_of(enum command_kind kind, const char *const *words, unsigned n);

/* The same once more, in no list. NULL: no memory. */
struct command *command_copy(const struct command *c);

/* Bytes of that command. */
size_t command_size(const struct slice *args, unsigned n);

#endif
