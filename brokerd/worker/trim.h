/* trim.h - memory that nobody uses goes back to the system.
 *
 * Why      After a burst the allocator would keep for ever what waited then.
 * Shape    Every few seconds what is resident, but for what the workers' budget knows of, is
 *          compared with the least it has been since the last trim. Only when there is much to give
 *          back the allocator is told to: its locks are held meanwhile.
 * Owner    Its maker's; free it before the base and the workers.
 * Thread   That of the base it is on, which is no worker's. */
#ifndef BROKERD_WORKER_TRIM_H
#define BROKERD_WORKER_TRIM_H

struct event_base;
struct trim;
struct workers;

/* Watch over the workers' memory on `base`. -ENOMEM. */
int trim_new(struct event_base *base, const struct workers *ws, struct trim **ret);

/* NULL is fine. */
void trim_free(struct trim *t);

#endif
