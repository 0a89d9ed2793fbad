/* listeners.h - where the daemon listens: as the settings say, or on what a service manager has
 * opened.
 *
 * Shape    Sockets handed over take the place of the settings' listeners, which then only say what
 *          is special about one of the same address.
 * Thread   Main's, while the workers run: they are opened on worker 0's thread. */
#ifndef BROKERD_LISTENERS_H
#define BROKERD_LISTENERS_H

#include "brokerd/net/net.h"
#include "config/settings.h"

/* Open them all: connections are accepted from then on. Waits for worker 0. -errno, and why has
 * been said on stderr. */
int listeners_open(struct workers *ws, struct net *net, const struct settings *s);

#endif
