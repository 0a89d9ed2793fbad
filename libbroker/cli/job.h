/* job.h - one call answered by a process: `broker serve` runs a command for each.
 *
 * Shape    The request goes to the command's stdin, what it prints is the answer. Three pipes that
 *          never make this program wait, and a descriptor that tells of the process's end. A job
 *          steps when anything may have happened, and names what it waits for:
 *
 *              forget     request -> stdin; stdout is thrown away
 *              request    request -> stdin; all of stdout is the answer
 *              stream     request -> stdin; each line of stdout is an answer, by credit
 *              channel    each message is a line of stdin, each line of stdout an answer
 *
 *          stdout is read only as there is credit for it, and messages are asked for as stdin has
 *          taken the ones before: back-pressure goes through the process. What the call carries
 *          gets to the command by stdin and the environment, and never into a command line.
 * Owner    A job owns its process, its pipes and its call.
 * Errors   Told to the caller; job_start() answers NULL without memory.
 * Thread   One. */
#ifndef BROKER_CLI_JOB_H
#define BROKER_CLI_JOB_H

#include <poll.h>

#include "broker.h"
#include "libbroker/cli/cli.h"

enum {
    JOB_FDS = 4,         /* descriptors a job may wait for */
    JOB_CREDIT = 16,     /* messages of a channel under way to a command that has not read them */
    JOB_GRACE_MS = 2000, /* from SIGTERM to SIGKILL */
};

struct job;

/* What all jobs have in common. */
struct job_kind {
    const struct cli *cli;
    char *const *argv; /* the command, ended by NULL */
    size_t max_message;
    struct broker_send_options answer; /* goes with each */
};

/* How a job has ended. */
struct job_result {
    const char *word; /* "done", "failed", "canceled" */
    int exit_status;  /* of the process; 128 + N: killed by signal N; -1: never started */
    uint64_t answers;
    uint64_t ms;
};

/* Start the command for `call`, which is the job's from now on. A command that cannot be started is
 * told to the caller; the job is over then. NULL without memory: the call is refused and freed. */
struct job *job_start(const struct job_kind *kind, broker_call *call);

/* Do all there is to do. true: the job is over; job_free() it. */
bool job_step(struct job *j);

/* What it waits for, into `fds` of JOB_FDS places (-1: nothing); the time it waits at most, in ms,
 * or -1. */
int job_waits(const struct job *j, struct pollfd *fds);

/* The call is over from outside: end the process, at once if `now`. */
void job_kill(struct job *j, bool now);

/* How a job that is over has ended. */
struct job_result job_result(const struct job *j);

/* The call, for what its name is. */
const broker_call *job_call(const struct job *j);

/* Free it; its process is gone. */
void job_free(struct job *j);

/* For broker_serve_options, whose calls' user is their job. */
void job_on_message(broker_call *c, broker_message *m, void *user);
void job_on_complete(broker_call *c, void *user);
void job_on_end(broker_call *c, const struct broker_call_end *end, void *user);

#endif
