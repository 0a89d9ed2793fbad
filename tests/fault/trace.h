/* trace.h - what a program did to the files of one folder, and what clients were promised
 * meanwhile: a file of records that several processes append to.
 *
 * Why      To know what a disk may hold when the power goes, one must know which bytes were written
 *          in what order, which of them a sync had covered, and what had been confirmed by then.
 * Shape    Records one after the other, each appended whole by one write(), so their order is one
 *          that everybody saw: who records a confirm has got it from a broker that had recorded its
 *          sync before. A sync has a beginning and an end: it covers what was written before it
 *          began, once it has ended.
 * Owner    trace_load() gives an array in one allocation with its bytes; trace_free() frees it.
 * Errors   -errno; -EPROTO: a record is not whole.
 * Thread   Any. */
#ifndef BROKER_TESTS_FAULT_TRACE_H
#define BROKER_TESTS_FAULT_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum trace_kind {
    TRACE_CREATE = 1, /* name: file is made, empty */
    TRACE_FOUND,      /* name: file was there, and is opened */
    TRACE_WRITE,      /* data at offset */
    TRACE_SIZE,       /* the file has `offset` bytes now */
    TRACE_SYNC_BEGIN, /* of a file */
    TRACE_SYNC_END,
    TRACE_DIR_BEGIN, /* of the folder, or of the one below it called name */
    TRACE_DIR_END,
    TRACE_RENAME, /* name to data */
    TRACE_UNLINK, /* name */
    TRACE_ISSUED, /* by the auditor; data: the message's id */
    TRACE_CONFIRMED,
    TRACE_ACKED,
};

struct trace_record {
    uint32_t kind;
    uint32_t file; /* the same for one file whatever its name; 0: none */
    uint64_t offset;
    uint32_t name_n, data_n;
};

struct trace_entry {
    struct trace_record r;
    const char *name; /* not terminated */
    const uint8_t *data;
};

struct trace {
    struct trace_entry *entry;
    size_t n;
    void *bytes;
};

int trace_load(const char *path, struct trace *ret);
void trace_free(struct trace *t);

/* Append a record; the file is open for that (O_APPEND). */
int trace_append(int fd, const struct trace_record *r, const void *name, const void *data);

#endif
