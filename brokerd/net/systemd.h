/* systemd.h - what a service manager is told, and what it hands over, without its library.
 *
 * Shape    Notifications are datagrams of lines to $NOTIFY_SOCKET. Listening sockets come as
 *          descriptors from 3 on ($LISTEN_FDS), for the process $LISTEN_PID, with names.
 * Errors   Without a service manager everything here does nothing.
 * Thread   Main's. */
#ifndef BROKERD_NET_SYSTEMD_H
#define BROKERD_NET_SYSTEMD_H

#include <stddef.h>
#include <stdint.h>

/* Send `state`, e.g. "READY=1\nSTATUS=..". Errors are not told: nothing would be done about them.
 */
void systemd_notify(const char *state);

/* "RELOADING=1" with the time it needs; "READY=1" has to follow. */
void systemd_notify_reloading(void);

/* How often "WATCHDOG=1" is expected of this process, us; 0: never. */
uint64_t systemd_watchdog_us(void);

enum { SYSTEMD_FIRST_FD = 3 };

/* How many descriptors were handed over; they are SYSTEMD_FIRST_FD and those after it. Their names
 * are `names` of size `max`, "" where there is none; borrowed from `buf`, which must outlive them.
 * The variables are removed from the environment. */
size_t systemd_listen_fds(char *buf, size_t buf_size, const char **names, size_t max);

#endif
