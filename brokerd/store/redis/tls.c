#include "brokerd/store/redis/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls {
    SSL_CTX *ctx;
};

struct tls_session {
    SSL *ssl;
    bool wants_write;
};

/* ------------------------------------------------------------------------------- what to trust */

static int complain(const char *what, const char *file, char *err, size_t err_size)
{
    unsigned long e = ERR_peek_error(); /* the first: those after it say where, not why */
    const char *reason =
        ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);

    (void)snprintf(err, err_size, "%s %s: %s", what, file, reason ? reason : "cannot be used");
    ERR_clear_error();
    return -EINVAL;
}

static int load(SSL_CTX *ctx, const char *ca, const char *certificate, const char *key, char *err,
                size_t err_size)
{
    if (ca ? !SSL_CTX_load_verify_locations(ctx, ca, NULL) : !SSL_CTX_set_default_verify_paths(ctx))
        return complain("ca", ca ? ca : "of the system", err, err_size);
    if (!certificate)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return complain("certificate", certificate, err, err_size);
    key = key ? key : certificate;
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return complain("key", key, err, err_size);
    return 0;
}

/* Nobody is there to be asked for the password of a key. */
static int no_password(char *buf, int size, int is_writing, void *ctx)
{
    (void)is_writing;
    (void)ctx;
    if (size > 0)
        buf[0] = '\0';
    return -1;
}

int tls_new(const char *ca, const char *certificate, const char *key, struct tls **ret, char *err,
            size_t err_size)
{
    struct tls *t = calloc(1, sizeof *t);
    int r;

    if (!t || !(t->ctx = SSL_CTX_new(TLS_client_method())) ||
        !SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION)) {
        tls_free(t);
        (void)snprintf(err, err_size, "no memory");
        return -ENOMEM;
    }
    SSL_CTX_set_default_passwd_cb(t->ctx, no_password);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    r = load(t->ctx, ca, certificate, key, err, err_size);
    if (r < 0) {
        tls_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* ---------------------------------------------------------------------------------- a session */

static bool is_address(const char *host)
{
    unsigned char any[16];

    return inet_pton(AF_INET, host, any) == 1 || inet_pton(AF_INET6, host, any) == 1;
}

/* An address is compared with the certificate's addresses, and no server name is sent for it. */
static bool expect_host(SSL *ssl, const char *host)
{
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

struct tls_session *tls_session_new(struct tls *t, int fd, const char *host)
{
    struct tls_session *s = calloc(1, sizeof *s);

    if (s && (s->ssl = SSL_new(t->ctx)) != NULL && SSL_set_fd(s->ssl, fd) == 1 &&
        expect_host(s->ssl, host)) {
        SSL_set_connect_state(s->ssl);
        return s;
    }
    tls_session_free(s);
    ERR_clear_error();
    return NULL;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

bool tls_wants_write(const struct tls_session *s)
{
    return s->wants_write;
}

/* What a call that returned `r` means. */
static ssize_t judge(struct tls_session *s, int r)
{
    int e = SSL_get_error(s->ssl, r);

    s->wants_write = e == SSL_ERROR_WANT_WRITE;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    return e == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

int tls_shake(struct tls_session *s, char *err, size_t err_size)
{
    long verdict;
    const char *reason;
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(s->ssl);
    if (r == 1)
        return 1;
    if (judge(s, r) == -EAGAIN)
        return 0;
    verdict = SSL_get_verify_result(s->ssl);
    reason = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                                  : ERR_reason_error_string(ERR_peek_last_error());
    (void)snprintf(err, err_size, "TLS: %s", reason ? reason : "the connection was closed");
    ERR_clear_error();
    return -EPROTO;
}

static int at_most(size_t n)
{
    return n > TLS_RECORD ? TLS_RECORD : (int)n;
}

ssize_t tls_read(struct tls_session *s, void *buf, size_t n)
{
    int r;

    ERR_clear_error();
    r = SSL_read(s->ssl, buf, at_most(n));
    return r > 0 ? r : judge(s, r);
}

ssize_t tls_write(struct tls_session *s, const void *bytes, size_t n)
{
    int r;

    ERR_clear_error();
    r = SSL_write(s->ssl, bytes, at_most(n));
    return r > 0 ? r : judge(s, r);
}
