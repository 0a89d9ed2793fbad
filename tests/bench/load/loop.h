/* loop.h - moves the bytes of all sides: one epoll set, sockets that never block.
 *
 * Shape    loop_turn() reads from every side that has something, gives it to the driver's take(),
 * and writes what output there is. Publishers of batches write by themselves (loop_write), when
 *          nothing of theirs waits for room.
 *          All sides read into one buffer, so a thousand of them stay in cache; a side keeps only
 * what take() left, seldom more than one message. Errors   A connection that ends is marked
 * `closed`, and is out of the set; nothing else happens to it. All other errors end the program.
 * Thread   One. */
#ifndef TESTS_BENCH_LOAD_LOOP_H
#define TESTS_BENCH_LOAD_LOOP_H

#include "tests/bench/load/load.h"

/* Once, before all else. */
void loop_init(void);

/* Connect `s` to 127.0.0.1:`port` and let its driver greet. The driver, part and each of `s` are
 * set, the rest is zero. The bytes of `s` must not move from then on. */
void loop_open(struct side *s, unsigned port);

/* Close and free all that `s` holds. */
void loop_close(struct side *s);

/* Wait up to `timeout_ms` for something to happen, and let it. False if nothing did. */
bool loop_turn(int timeout_ms);

/* The same until ns_now() would be `ns`, to some microseconds. */
bool loop_turn_until(uint64_t ns);

/* Turn until `s` is ready; no longer than `seconds`, and not if it closed: that ends the program.
 */
void loop_ready(struct side *s, double seconds);

/* Write the output of `s` as far as it goes. To be called after side_put() outside of take(). */
void loop_flush(struct side *s);

/* Write some of `n` bytes of messages; 0 if the socket is full. The caller says in s->cut whether
 * what has been written ends amid a message: then output waits for the rest of it. Returns the
 * bytes written. */
size_t loop_write(struct side *s, const uint8_t *p, size_t n);

/* May loop_write() do something now? */
static inline bool loop_writable(const struct side *s)
{
    return !s->want_out && !s->closed;
}

/* Do not read from `s` until loop_resume(). */
void loop_pause(struct side *s);
void loop_resume(struct side *s);

#endif
