/* tls.h - TLS on a socket that does not block, as a client: OpenSSL.
 *
 * Why      hiredis 0.14 has none.
 * Shape    A struct tls is what to trust and who we are, for many sessions; a session is one
 *          connection's. TLS 1.2 at least; the certificate must be valid and be that of the host:
 *          nothing turns that off.
 * Owner    The caller of ..new(), until ..free(). A session borrows its socket.
 * Errors   As each function says.
 * Thread   One at a time. SIGPIPE must be ignored (main does): OpenSSL writes by write(). */
#ifndef BROKERD_STORE_REDIS_TLS_H
#define BROKERD_STORE_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls;
struct tls_session;

enum { TLS_RECORD = 16384 }; /* bytes that are worth writing at once */

/* `ca`, `certificate`, `key`: PEM files; NULL: the system's CAs, no certificate of our own; a
 * certificate needs its key, which may be in the same file. -EINVAL, and in `err` which file is of
 * no use and why; -ENOMEM. */
int tls_new(const char *ca, const char *certificate, const char *key, struct tls **ret, char *err,
            size_t err_size);

/* NULL is fine. */
void tls_free(struct tls *t);

/* A session on `fd` with `host`, a name or an address, which the certificate must be for. NULL: no
 * memory. */
struct tls_session *tls_session_new(struct tls *t, int fd, const char *host);

/* NULL is fine. Says nothing more to the peer. */
void tls_session_free(struct tls_session *s);

/* Go on with the handshake: 1: it is done; 0: it waits for the socket; -EPROTO, and why in `err`.
 */
int tls_shake(struct tls_session *s, char *err, size_t err_size);

/* Bytes read or written; 0: the end; -EAGAIN: it waits for the socket; -EPROTO. A write that said
 * -EAGAIN must be tried again with the same bytes, and perhaps more behind them. */
ssize_t tls_read(struct tls_session *s, void *buf, size_t n);
ssize_t tls_write(struct tls_session *s, const void *bytes, size_t n);

/* What said -EAGAIN last waits until the socket can be written to (else: read). */
bool tls_wants_write(const struct tls_session *s);

#endif
