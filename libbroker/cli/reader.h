/* reader.h - input as lines or as a whole, a read at a time.
 *
 * Why      Lines must come out at millions a second, and reading must never hold up the
 *          connection: so the caller says when to read, having polled.
 * Shape    cli_reader_line() until it answers -EAGAIN, then cli_reader_fill().
 * Owner    Lines are borrowed until the next fill.
 * Errors   -errno.
 * Thread   One at a time. */
#ifndef BROKER_CLI_READER_H
#define BROKER_CLI_READER_H

#include <stdbool.h>
#include <stddef.h>

struct cli_reader {
    int fd;
    char *buf;
    size_t begin, end, cap; /* what was read and not used is buf[begin..end) */
    size_t looked;          /* of it, bytes known to hold no newline */
    size_t max;             /* longest line or whole, bytes */
    bool eof;
};

/* Read from `fd`, which the caller opens and closes. */
void cli_reader_init(struct cli_reader *r, int fd, size_t max);
void cli_reader_fini(struct cli_reader *r);

/* The next line without its newline; what follows the last newline is a line unless it is empty.
 * 0; -EAGAIN there is none before another fill; -ENODATA the end. */
int cli_reader_line(struct cli_reader *r, const char **ret_line, size_t *ret_len);

/* All there is, once r->eof is set. */
void cli_reader_rest(struct cli_reader *r, const char **ret_data, size_t *ret_len);

/* Read once, which may wait. 0, also at the end (r->eof); -EFBIG more than `max` without a
 * newline, -ENOMEM, -EINTR, another -errno. */
int cli_reader_fill(struct cli_reader *r);

#endif
