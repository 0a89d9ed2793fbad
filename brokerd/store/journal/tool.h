/* tool.h - the journal of a broker that is stopped, or a copy of one: for the command `broker`.
 *
 * Why      What is wrong with it, what is in it, all of it as text and back: with no broker. This
 *          header is all that the command sees of the store.
 * Shape    tool_open() reads everything, as a start does, and changes nothing: facts, damage,
 *          queues, and messages one by one. tool_open_to_write() is a start; what is put is kept
 *          when tool_finish() says so.
 * Owner    tool_close() frees all. What is handed out borrows from the tool, messages for the call.
 * Errors   0 or -errno, and where `text` is given, words for people in it, of TOOL_TEXT bytes.
 * Thread   One. */
#ifndef BROKERD_STORE_JOURNAL_TOOL_H
#define BROKERD_STORE_JOURNAL_TOOL_H

#include "libbroker/base/slice.h"

enum { TOOL_TEXT = 1024, TOOL_NAME = 256 };

struct tool;

/* Told now and then how far it is. False: stop, with -ECANCELED. */
typedef bool tool_progress_fn(void *ctx, uint64_t done, uint64_t total);

/* To read: all of it is read here. Damage is no error. */
int tool_open(const char *path, tool_progress_fn *progress, void *ctx, struct tool **ret,
              char *text);

/* To add to it; made where there is none. Damage is an error, as it is for a broker. */
int tool_open_to_write(const char *path, struct tool **ret, char *text);

/* Returns NULL; NULL is fine. */
struct tool *tool_close(struct tool *t);

/* -------------------------------------------------------------------------------- looking */

struct tool_facts {
    uint64_t journal; /* its id; 0: there is nothing */
    uint32_t version;
    uint64_t segments, disk; /* files, their bytes */
    uint64_t batches, records;
    uint64_t queues, messages, bytes; /* that wait; bytes of payload */
    uint64_t retained;                /* messages besides: settled, to be had again for a while */
    uint64_t data, notes;             /* bytes of the files that are of use */
    uint64_t torn_bytes, blank;       /* of a last write that was never confirmed; empty files */
    uint64_t damaged;                 /* places, of which tool_damage() tells some */
    uint64_t lost_batches;
    uint64_t missing; /* files, which are places, too */
};

const struct tool_facts *tool_facts(const struct tool *t);

/* The i-th place, in words for people too, and what it has cost; false: there are no more. */
struct tool_damage {
    uint32_t segment;
    uint64_t from, to, batches;
    bool missing; /* there is no such file */
    char text[96];
};
bool tool_damage(const struct tool *t, size_t i, struct tool_damage *ret);

struct tool_queue {
    uint32_t number;
    char name[TOOL_NAME];                               /* "lost.NUMBER" if that is lost */
    struct slice filters;                               /* (u8 length, filter)* */
    struct slice settings;                              /* as headers (base/headers.h) */
    uint64_t messages, bytes, disk, returned, retained; /* disk: of both */
    uint64_t first, next; /* numbers; first: `next` if there are no messages */
};

/* The i-th by name; NULL: there are no more. */
const struct tool_queue *tool_queue(const struct tool *t, size_t i);

/* A filter off the front of `filters`; false: there are no more. */
bool tool_next_filter(struct slice *filters, struct slice *ret);

struct tool_message {
    uint64_t seq, id;
    int64_t time_ms, expires_ms, due_ms; /* INT64_MAX: never; 0: at once */
    int64_t settled_ms;                  /* retained, since then; 0: it waits */
    uint32_t attempts;
    struct slice topic, type, headers, data; /* type: empty if there is none */
};

/* Each message of a queue, in order of numbers, `retained` ones too or not, until fn() answers
 * something else than 0, which is returned then. -EBADMSG: one cannot be read, `*seq` tells which.
 * `*seq`: from there on. */
typedef int tool_message_fn(void *ctx, const struct tool_message *m);
int tool_walk(struct tool *t, const struct tool_queue *q, bool retained, uint64_t *seq,
              tool_message_fn *fn, void *ctx);

/* -------------------------------------------------------------------------------- writing */

/* There is a queue of that name: 1 it was there (and stays as it is), 0 it is new. */
int tool_put_queue(struct tool *t, struct slice name, struct slice filters, struct slice settings,
                   uint64_t next);

/* Add a message to a queue, numbered as it says, if that is above all numbers the queue ever had,
 * or it is the queue made last and has none as high yet; else by the next one. -ENOENT no such
 * queue; -EMSGSIZE some part is too long. */
int tool_put(struct tool *t, struct slice queue, const struct tool_message *m);

/* What was put is on disk; nothing more is put. */
int tool_finish(struct tool *t);

/* Copy all files of a snapshot or a stopped journal at `from` to `to`, a directory that is made,
 * and sync them; on failure nothing is left there. -EEXIST: there is something at `to`. */
int tool_copy(const char *from, const char *to, tool_progress_fn *progress, void *ctx, char *text);

#endif
