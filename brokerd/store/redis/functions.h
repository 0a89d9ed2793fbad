/* functions.h - the library of functions that brokerd loads into Redis: functions.lua, as it is.
 *
 * Thread   Any: constant bytes. */
#ifndef BROKERD_STORE_REDIS_FUNCTIONS_H
#define BROKERD_STORE_REDIS_FUNCTIONS_H

/* What brokerd_1_revision answers; as in functions.lua. A change that others can tell is a library
 * of another name, beside this one: nodes of two versions may share a Redis while they are
 * upgraded. */
#define FUNCTIONS_REVISION 5

#ifndef __ASSEMBLER__
extern const char redis_functions[], redis_functions_end[];
#endif

#endif
