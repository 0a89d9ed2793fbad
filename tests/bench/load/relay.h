/* relay.h - how a relay is greeted.
 *
 * Shape    A connection says in its first RELAY_GREETING bytes what it is:
 *              u64 topics that it wants, a bit each; u8 topic it publishes to, or RELAY_NONE
 *          and gets one byte back when it is connected to all that came before it. */
#ifndef TESTS_BENCH_LOAD_RELAY_H
#define TESTS_BENCH_LOAD_RELAY_H

enum { RELAY_GREETING = 9, RELAY_TOPICS = 64, RELAY_NONE = 255 };

#endif
