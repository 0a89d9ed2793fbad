/* session.h - a peer apart from its connection: RSocket's RESUME.
 *
 * Why      A client whose connection is cut goes on over another, with every frame once and in
 *          order: its streams, credit and half-received messages live on.
 * Shape    Two struct peer: the connection's own, which only carries (net knows that one), and the
 *          session's, which has all the rest. The session's peer writes into an output that is
 *          lent to it as a connection's would be, and that is the replay buffer: what its client
 *          has not acknowledged stays in it. What is new there is copied to the connection at
 *          once. Frames of stream 0 are not kept, and go past it.
 *
 *              streams, core --> session's out  | acknowledged | handed on | new |
 *                                                                \ \ \       | |
 *                                        connection's out  <------------------+ (all since `next`)
 *
 *          Positions on the wire count frames without their 3-byte length; those of the output
 *          with it. From one frame boundary to the next both are known, so the output is walked
 *          frame by frame as far as the client acknowledges, and no list of frames is kept.
 *          What is delivered counts as written once it was handed to a connection, whichever:
 *          from then on it is the buffer's to get through. What was never handed to any goes back
 *          to its queue if the session ends.
 *          At half of its limit the buffer takes no more deliveries, and what it has asks the
 *          client how far it is (KEEPALIVE).
 *          All connections that name a token are on one worker (rsocket_door.home), whose table
 *          of sessions is a door_room.
 * Owner    A session belongs to the table; its connection's peer points to it and back.
 * Errors   A session that cannot go on is over: its peer is, its connection closed; it is freed
 *          with that, or by the room. It is never freed under anybody's feet.
 * Thread   The worker of its token. */
#ifndef BROKERD_DOORS_RSOCKET_SESSION_H
#define BROKERD_DOORS_RSOCKET_SESSION_H

#include "brokerd/doors/rsocket/peer.h"

enum { SESSION_TOKEN_MAX = 1024 }; /* bytes; longer ones are refused */

/* rsocket_door.home: the token of SETUP or RESUME. */
enum door_match session_home(struct slice first, struct slice *ret_token);

/* `carrier`, a new connection, begins a session, whose peer is returned and has the SETUP to do; or
 * NULL, it has been refused. */
struct peer *session_begin(struct peer *carrier, const struct rs_frame *setup);

/* That SETUP is done. */
void session_begun(struct peer *carrier);

/* `carrier`, a new connection, goes on with one: refused, or answered RESUME_OK and all that the
 * client has missed. */
void session_resume(struct peer *carrier, const struct rs_frame *resume);

/* Of a peer that carries one: the session's peer. */
struct peer *session_peer(const struct peer *carrier);

/* The connection `carrier` is gone. */
void session_lost(struct peer *carrier);

/* ---- Of a session's own peer: */

/* These bytes, whole frames, have come from its client. */
void session_received(struct peer *c, struct slice frames);

/* How far that is, for the client to hear. */
uint64_t session_position(const struct peer *c);

/* The client says that it has received up to `position`. False: that is no frame's end, or not
 * plausible; the session cannot go on. */
bool session_acknowledged(struct peer *c, uint64_t position);

/* Its connection's output, for frames that are not kept; NULL while there is none. */
struct out *session_past(struct peer *c);

/* Nothing has been heard for its lifetime: the connection is given up, the session is not. */
void session_silent(struct peer *c, const char *why);

/* Has what it keeps been lost (no memory)? Then it is over. */
void session_check(struct peer *c);

#endif
