/* post.h - HTTP requests under way: libcurl on a worker's loop.
 *
 * Why      libcurl knows HTTP, TLS and names; when it may do something is the worker's to say.
 * Shape    A poster is one webhook's connections, shared with nobody: what one webhook may reach,
 *          another could not reach through a connection that is open already. Events of the loop
 *          only mark which sockets are ready; poster_run(), in the worker's turn, does the work
 *          and tells of each post that is over. A post is one request at a time; its memory and
 *          curl's handle are used again.
 *          Each address is judged when its socket is made (address.h): none other is connected to.
 *          No redirect is followed, no proxy used, nothing but http and https spoken.
 * Owner    Posts are the caller's; what they point to must stay until they are over.
 * Errors   0 or -errno.
 * Thread   The worker's. */
#ifndef BROKERD_WEBHOOKS_POST_H
#define BROKERD_WEBHOOKS_POST_H

#include "brokerd/webhooks/outcome.h"
#include "brokerd/webhooks/request.h"
#include "libbroker/base/list.h"

struct event_base;
struct poster;

enum {
    POST_HEAD_MAX = 16 * 1024, /* bytes of an answer's head */
    POST_BODY_MAX = 64 * 1024, /* bytes read of its body; with more the connection is closed */
    POST_EXCERPT = 1024,       /* bytes of it kept for people */
    POST_ERROR_MAX = 256,
};

struct post {
    struct request request; /* built by the caller before poster_send() */

    /* What became of it, once it is over. */
    enum attempt_end end;
    unsigned status; /* 0: none came */
    int64_t took_us;
    char retry_after[64];           /* as it was said; "": not */
    char error[POST_ERROR_MAX];     /* for people; "" if it was answered */
    char address[ADDRESS_TEXT_MAX]; /* last connected to, or refused; "": none */
    char excerpt[POST_EXCERPT];
    size_t excerpt_n;

    /* post.c's own. */
    struct poster *poster; /* while it is under way */
    void *easy;            /* curl's handle, kept for the next */
    struct curl_slist *lines;
    unsigned lines_cap;
    size_t head_n, body_n;
    bool forbidden, is_head_whole;
    struct list_node link;
};

struct poster_options {
    struct event_base *base;
    const char *agent; /* static: "brokerd/0.1.0" */
    /* Events of the loop have marked something: poster_run() has work. From the loop. */
    void (*ready)(void *ctx);
    /* `p` is over; it may be sent again at once. From within poster_run(). */
    void (*done)(void *ctx, struct post *p);
    void *ctx;
};

/* A poster for what `s` says, of which it keeps a reference. -ENOMEM. */
int poster_new(const struct poster_options *o, struct webhook_spec *s, struct poster **ret);

/* Gives up what is under way, telling nobody. NULL is fine. */
void poster_free(struct poster *p);

/* Send it. -ENOMEM: it was not. Not from within done(). */
int poster_send(struct poster *p, struct post *post);

/* Do what is ready or due. */
void poster_run(struct poster *p, int64_t now_ms);

/* When poster_run() wants to be called at the latest; INT64_MAX: when something is ready. */
int64_t poster_due(const struct poster *p);

/* Give up a post, and its memory. Zeroed is fine. */
void post_fini(struct post *post);

#endif
