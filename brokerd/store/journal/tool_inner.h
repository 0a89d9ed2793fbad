/* tool_inner.h - what reading and writing by tool.h have in common.
 *
 * Thread   One. */
#ifndef BROKERD_STORE_JOURNAL_TOOL_INNER_H
#define BROKERD_STORE_JOURNAL_TOOL_INNER_H

#include "brokerd/store/journal/files.h"
#include "brokerd/store/journal/log.h"
#include "brokerd/store/journal/tool.h"

struct tool {
    struct files files;
    struct catalog catalog;
    struct recovery recovery;
    struct log log; /* buf NULL: to read */
    struct tool_facts facts;
    struct tool_queue *queues; /* by name */
    size_t queues_n;
    struct stored_queue *into; /* that was put to last; may be NULL */
    uint32_t fresh;            /* number of the queue made last here, whose numbers may be kept */
    uint64_t last;             /* of those, the last one */
    /* A piece of a segment, for who reads message after message. */
    uint32_t segment;
    int fd;
    uint64_t offset;
    size_t n, cap;
    uint8_t *buffer;
};

#endif
