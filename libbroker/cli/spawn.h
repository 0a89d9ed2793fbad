/* spawn.h - a command started for a call, with pipes to and from it.
 *
 * Why      What a call carries must never be taken for a command: it goes to stdin and into the
 *          environment, under names that nothing else reads, and no shell is asked.
 * Shape    The command is looked up in PATH, gets the arguments as they are, a process group of its
 *          own, and signals as if it had been started by hand. Its environment is ours and
 *              BROKER_SERVICE  BROKER_METHOD  BROKER_MODEL  BROKER_CONTENT_TYPE
 *              BROKER_HEADER_NAME  for each header: its name in capitals, _ for what is neither
 *                                  letter nor digit; of two that look the same then, the first
 * Errors   -errno; nothing is left behind.
 * Thread   Any. */
#ifndef BROKER_CLI_SPAWN_H
#define BROKER_CLI_SPAWN_H

#include <sys/types.h>

#include "broker.h"

struct spawned {
    pid_t pid;        /* and its process group */
    int in, out, err; /* our ends of its pipes, never waiting; `out` is -1 for BROKER_CALL_FORGET */
    int ended;        /* readable when it has ended */
};

/* Start `argv` (ended by NULL) for `call`. */
int spawn_for_call(char *const *argv, const broker_call *call, struct spawned *ret);

/* The word that BROKER_MODEL has for a model. */
const char *spawn_model_word(enum broker_call_model model);

/* "BROKER_HEADER_X_Y=value" for a header `x-y`, to be freed; NULL without memory. */
char *spawn_header_text(const char *name, const char *value);

#endif
