/* entry.h - what one core tells another: the head that all entries have in common. */
#ifndef BROKERD_CORE_ENTRY_H
#define BROKERD_CORE_ENTRY_H

#include <stdint.h>

/* 8-byte aligned; what follows the head is the core's affair. */
struct entry {
    uint32_t size; /* bytes, with this head; a multiple of 8. Set by whoever gives the room */
    uint16_t kind; /* the core's; ENTRY_WORKER is not */
    uint16_t from; /* the worker that posted it. Set by whoever gives the room */
};

enum { ENTRY_WORKER = 0xffff }; /* a kind kept for the worker's own: never reaches a core */

#endif
