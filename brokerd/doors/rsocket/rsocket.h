/* rsocket.h - the RSocket door, as doors.c lists it.
 *
 * Why      The native protocol: credit in both directions on every stream.
 * Shape    peer.c takes bytes in and knows the connection's state; setup.c opens it; streams.c
 *          keeps its streams; session.c has them outlive it, and lease.c limits its requests;
 *          meta.c reads what a request's metadata say; request.c finds the
 *          route; publish.c, consume.c and calls.c are the streams; confirm.c, deliver.c and
 *          send.c write what goes down.
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_RSOCKET_RSOCKET_H
#define BROKERD_DOORS_RSOCKET_RSOCKET_H

#include "brokerd/doors/door.h"

extern const struct door_ops rsocket_door;

#endif
