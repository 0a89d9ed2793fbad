/* reason.h - why a message was refused or lost: the one closed list, the same words on every
 * door, in every counter, gap and dead letter.
 *
 * Shape    One X-list; numbers, words and checks all come from it. The numbers travel in
 *          confirm frames, so they never change.
 * Thread   Any; pure. */
#ifndef BROKER_BASE_REASON_H
#define BROKER_BASE_REASON_H

#include "libbroker/base/slice.h"

/* X(NAME, number, word, meaning). 1..12: refusals, nobody promised anything yet.
 * 20..28: losses after the message was accepted. */
#define REASON_LIST(X)                                                                             \
    X(NO_MATCH, 1, "no-match", "no queue matched")                                                 \
    X(FULL, 2, "full", "a queue is at its limit")                                                  \
    X(MEMORY, 3, "memory", "the broker's memory budget is used up")                                \
    X(NO_CREDIT, 4, "no-credit", "would have to wait, but came by a way that cannot")              \
    X(LIMIT, 5, "limit", "a limit of this connection or user")                                     \
    X(STORE, 6, "store", "the store fails or does not answer")                                     \
    X(DRAINING, 7, "draining", "the broker is about to stop")                                      \
    X(NO_SERVER, 8, "no-server", "nobody serves the service called")                               \
    X(DENIED, 9, "denied", "no permission")                                                        \
    X(NOT_FOUND, 10, "not-found", "no such queue, route or service")                               \
    X(INVALID, 11, "invalid", "malformed name, header, option or number")                          \
    X(TOO_LARGE, 12, "too-large", "larger than max-message")                                       \
    X(DROP_OLDEST, 20, "drop-oldest", "made room for a newer message")                             \
    X(DROP_NEWEST, 21, "drop-newest", "found no room behind older messages")                       \
    X(EXPIRED, 22, "expired", "its time to live was over")                                         \
    X(ATTEMPTS, 23, "attempts", "delivered too often without an ack")                              \
    X(REJECTED, 24, "rejected", "a consumer rejected it")                                          \
    X(PURGED, 25, "purged", "the queue was purged")                                                \
    X(DELETED, 26, "deleted", "the queue was deleted")                                             \
    X(DISCONNECTED, 27, "disconnected", "the subscriber's connection is gone")                     \
    X(NODE, 28, "node", "published on another broker, and lost on the way")

enum reason {
    REASON_NONE = 0, /* nothing was refused or lost */
#define X(name, number, word, meaning) REASON_##name = number,
    REASON_LIST(X)
#undef X
};

enum { REASON_TABLE_SIZE = 29 }; /* one above the largest number: the size of a table by reason */

/* True if `number` is one of the list (REASON_NONE is not). */
bool reason_known(unsigned int number);

/* True for 1..12: refused before anything was promised. */
bool reason_is_refusal(enum reason r);

/* The word, e.g. "no-match"; "none" for REASON_NONE, "unknown" for what is not in the list.
 * Static. */
const char *reason_name(enum reason r);

/* The meaning in a few English words, for people. Static; as reason_name() otherwise. */
const char *reason_text(enum reason r);

/* The reason whose word is exactly `word`; REASON_NONE if there is none. */
enum reason reason_from_name(struct slice word);

/* The reason that begins an error text such as `full: queue "orders" is full`: the word before
 * the first colon, or the whole text. REASON_NONE if the text does not begin with one. */
enum reason reason_from_text(struct slice text);

#endif
