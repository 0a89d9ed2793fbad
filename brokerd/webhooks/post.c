#include "brokerd/webhooks/post.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "brokerd/webhooks/field.h"

enum {
    CONNECTIONS_SPARE = 8,
    TIMER_ROUNDS = 4 /* in one turn: curl may have something due at once */
};

/* A socket of curl's that it wants watched. */
struct watched {
    struct list_node link, ready; /* poster->sockets; poster->ready while it is marked */
    struct poster *poster;
    struct event event;
    bool is_added;
    curl_socket_t fd;
    int marks; /* CURL_CSELECT_ */
};

struct poster {
    struct poster_options o;
    struct webhook_spec *spec;
    CURLM *multi;
    struct list sockets, ready;
    struct list posts; /* under way */
    int64_t due_ms;    /* curl's timer; INT64_MAX: not set */
    bool is_due_set;   /* by curl since; due_ms is then how long, from now */
    long due_in_ms;
};

/* ---------------------------------------------------------------------------------- the loop */

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct watched *w = ctx;
    struct poster *p = w->poster;

    (void)fd;
    w->marks |= (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    if (!list_linked(&w->ready))
        list_push_back(&p->ready, &w->ready);
    p->o.ready(p->o.ctx);
}

static void unwatch(struct watched *w)
{
    if (w->is_added)
        event_del(&w->event);
    list_remove(&w->ready);
    list_remove(&w->link);
    free(w);
}

static int watch(struct watched *w, int what)
{
    short events = EV_PERSIST;

    if (what & CURL_POLL_IN)
        events |= EV_READ;
    if (what & CURL_POLL_OUT)
        events |= EV_WRITE;
    if (w->is_added)
        event_del(&w->event);
    event_assign(&w->event, w->poster->o.base, w->fd, events, on_socket, w);
    w->is_added = event_add(&w->event, NULL) == 0;
    return w->is_added ? 0 : -1;
}

/* CURLMOPT_SOCKETFUNCTION. */
static int curl_wants_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct poster *p = ctx;
    struct watched *w = known;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            unwatch(w);
        return 0;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w)
            return -1;
        w->poster = p;
        w->fd = fd;
        list_push_back(&p->sockets, &w->link);
        (void)curl_multi_assign(p->multi, fd, w);
    }
    return watch(w, what);
}

/* CURLMOPT_TIMERFUNCTION. Which time it is, the turn knows. */
static int curl_wants_timer(CURLM *multi, long ms, void *ctx)
{
    struct poster *p = ctx;

    (void)multi;
    p->due_ms = INT64_MAX;
    p->is_due_set = ms >= 0;
    p->due_in_ms = ms;
    return 0;
}

static void take_timer(struct poster *p, int64_t now_ms)
{
    if (p->is_due_set)
        p->due_ms = now_ms + p->due_in_ms;
    p->is_due_set = false;
}

int64_t poster_due(const struct poster *p)
{
    return p->is_due_set ? 0 : p->due_ms;
}

/* ----------------------------------------------------------------------------- what may be done */

static bool may_connect(const struct webhook_spec *s, const struct sockaddr *address)
{
    if (address_is_public(address))
        return true;
    for (size_t i = 0; i < s->allow_n; i++)
        if (cidr_has(&s->allow[i], address))
            return true;
    return false;
}

/* CURLOPT_OPENSOCKETFUNCTION: the very address that curl connects this socket to. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct post *post = ctx;

    (void)purpose;
    (void)address_text(&to->addr, post->address);
    if (!may_connect(post->poster->spec, &to->addr)) {
        post->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    post->forbidden = false;
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

/* CURLOPT_HEADERFUNCTION: a line of the head; of several heads, if it begins with 1xx; or of a
 * chunked body's trailer, which says nothing that counts here. */
static size_t take_head(char *line, size_t one, size_t n, void *ctx)
{
    struct post *post = ctx;
    struct slice name, value;
    size_t text = n;

    (void)one;
    post->head_n += n;
    if (post->head_n > POST_HEAD_MAX)
        return 0;
    while (text && (line[text - 1] == '\n' || line[text - 1] == '\r'))
        text--;
    if (post->is_head_whole && !slice_starts(slice_of(line, text), SLICE("HTTP/")))
        return n;
    post->is_head_whole = text == 0;
    if (field_split(slice_of(line, text), &name, &value) && field_is(name, "retry-after") &&
        value.n < sizeof post->retry_after) {
        memcpy(post->retry_after, value.p, value.n);
        post->retry_after[value.n] = '\0';
    }
    return n;
}

/* CURLOPT_WRITEFUNCTION: the body, of which little is of interest. */
static size_t take_body(char *bytes, size_t one, size_t n, void *ctx)
{
    struct post *post = ctx;
    size_t room = sizeof post->excerpt - post->excerpt_n;

    (void)one;
    post->body_n += n;
    if (post->body_n > POST_BODY_MAX)
        return 0;
    room = room < n ? room : n;
    memcpy(post->excerpt + post->excerpt_n, bytes, room);
    post->excerpt_n += room;
    return n;
}

/* --------------------------------------------------------------------------------- one request */

static bool set_limits(CURL *e, const struct webhook_spec *s)
{
    return !curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms) &&
           !curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)s->connect_ms) &&
           !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) && /* a resolver that hangs is left alone */
           !curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 16384L) &&
           !curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
}

static bool set_guard(CURL *e, const struct webhook_spec *s, struct post *post)
{
    return !curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, s->is_https ? "https" : "http") &&
           !curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(e, CURLOPT_PROXY, "") && !curl_easy_setopt(e, CURLOPT_NETRC, 0L) &&
           !curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           !curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) &&
           !curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) &&
           (!s->ca || (!curl_easy_setopt(e, CURLOPT_CAINFO, s->ca) &&
                       !curl_easy_setopt(e, CURLOPT_CAPATH, NULL))) && /* not the system's, too */
           !curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
           !curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, post);
}

static bool set_answer(CURL *e, struct post *post)
{
    return !curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_head) &&
           !curl_easy_setopt(e, CURLOPT_HEADERDATA, post) &&
           !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body) &&
           !curl_easy_setopt(e, CURLOPT_WRITEDATA, post) &&
           !curl_easy_setopt(e, CURLOPT_ERRORBUFFER, post->error) &&
           !curl_easy_setopt(e, CURLOPT_PRIVATE, post);
}

/* What is the same for all requests to one webhook. */
static CURL *easy_new(struct poster *p, struct post *post)
{
    CURL *e = curl_easy_init();

    if (e && set_limits(e, p->spec) && set_guard(e, p->spec, post) && set_answer(e, post) &&
        !curl_easy_setopt(e, CURLOPT_URL, p->spec->url) &&
        !curl_easy_setopt(e, CURLOPT_USERAGENT, p->o.agent) &&
        !curl_easy_setopt(e, CURLOPT_POST, 1L))
        return e;
    curl_easy_cleanup(e);
    return NULL;
}

/* The fields as curl's list, over memory of ours. */
static int link_lines(struct post *post)
{
    static char no_expect[] = "expect:"; /* curl would wait for a word before a large body */
    unsigned n = post->request.fields_count + 1;
    struct curl_slist *lines = post->lines;
    char *at = post->request.fields;

    if (n > post->lines_cap) {
        lines = reallocarray(lines, n, sizeof *lines);
        if (!lines)
            return -ENOMEM;
        post->lines = lines;
        post->lines_cap = n;
    }
    for (unsigned i = 0; i + 1 < n; i++) {
        lines[i] = (struct curl_slist){at, &lines[i + 1]};
        at += strlen(at) + 1;
    }
    lines[n - 1] = (struct curl_slist){no_expect, NULL};
    return 0;
}

int poster_send(struct poster *p, struct post *post)
{
    const struct slice *body = &post->request.body;

    post->poster = p;
    post->status = 0;
    post->took_us = 0;
    post->head_n = post->body_n = post->excerpt_n = 0;
    post->forbidden = post->is_head_whole = false;
    post->error[0] = post->retry_after[0] = '\0';
    if (!post->easy)
        post->easy = easy_new(p, post);
    if (!post->easy || link_lines(post) < 0 ||
        curl_easy_setopt(post->easy, CURLOPT_POSTFIELDS, body->n ? (const char *)body->p : "") ||
        curl_easy_setopt(post->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n) ||
        curl_easy_setopt(post->easy, CURLOPT_HTTPHEADER, post->lines) ||
        curl_multi_add_handle(p->multi, post->easy)) {
        post->poster = NULL;
        return -ENOMEM;
    }
    list_push_back(&p->posts, &post->link);
    return 0;
}

/* --------------------------------------------------------------------------------- its end */

static enum attempt_end end_of(CURLcode code, const struct post *post)
{
    /* The answer is known, whatever became of its body: what was taken is not to be sent again. */
    if (post->status >= 200 && post->is_head_whole)
        return ATTEMPT_ANSWERED;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ATTEMPT_TIMED_OUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return post->forbidden ? ATTEMPT_FORBIDDEN : ATTEMPT_UNREACHED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return ATTEMPT_TLS;
    case CURLE_OUT_OF_MEMORY:
        return ATTEMPT_NO_MEMORY;
    default:
        return ATTEMPT_MALFORMED;
    }
}

static void say_error(struct post *post, CURLcode code)
{
    if (post->end == ATTEMPT_ANSWERED)
        post->error[0] = '\0';
    else if (post->end == ATTEMPT_FORBIDDEN)
        (void)snprintf(post->error, sizeof post->error,
                       "%s is not a public address, nor one that is allowed", post->address);
    else if (post->head_n > POST_HEAD_MAX)
        (void)snprintf(post->error, sizeof post->error, "the answer's head is over %d bytes",
                       POST_HEAD_MAX);
    else if (!post->error[0])
        (void)snprintf(post->error, sizeof post->error, "%s", curl_easy_strerror(code));
}

static void finish(struct poster *p, struct post *post, CURLcode code)
{
    curl_off_t took = 0;
    long status = 0;

    (void)curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(post->easy, CURLINFO_TOTAL_TIME_T, &took);
    (void)curl_multi_remove_handle(p->multi, post->easy);
    list_remove(&post->link);
    post->poster = NULL;
    post->status = status > 0 ? (unsigned)status : 0;
    post->took_us = took;
    post->end = end_of(code, post);
    say_error(post, code);
    p->o.done(p->o.ctx, post);
}

void poster_run(struct poster *p, int64_t now_ms)
{
    struct list_node *n;
    CURLMsg *m;
    int left;

    take_timer(p, now_ms);
    while ((n = list_pop(&p->ready)) != NULL) {
        struct watched *w = LIST_ITEM(n, struct watched, ready);
        int marks = w->marks;

        w->marks = 0;
        (void)curl_multi_socket_action(p->multi, w->fd, marks, &left);
    }
    take_timer(p, now_ms);
    for (int i = 0; i < TIMER_ROUNDS && p->due_ms <= now_ms; i++) {
        p->due_ms = INT64_MAX;
        (void)curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &left);
        take_timer(p, now_ms);
    }
    while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
        struct post *post = NULL;
        CURLcode code = m->data.result;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&post);
        finish(p, post, code); /* `m` is gone with it */
    }
}

/* ---------------------------------------------------------------------------------------- life */

int poster_new(const struct poster_options *o, struct webhook_spec *s, struct poster **ret)
{
    struct poster *p = calloc(1, sizeof *p);

    if (!p)
        return -ENOMEM;
    p->o = *o;
    p->due_ms = INT64_MAX;
    list_init(&p->sockets);
    list_init(&p->ready);
    list_init(&p->posts);
    p->multi = curl_multi_init();
    if (!p->multi || curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_socket) ||
        curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p) ||
        curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer) ||
        curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p) ||
        /* as many as there are posts: otherwise curl closes those that are idle for a moment */
        curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, (long)s->window + CONNECTIONS_SPARE)) {
        curl_multi_cleanup(p->multi);
        free(p);
        return -ENOMEM;
    }
    p->spec = spec_ref(s);
    *ret = p;
    return 0;
}

void poster_free(struct poster *p)
{
    struct list_node *n;

    if (!p)
        return;
    while ((n = list_first(&p->posts)) != NULL)
        post_fini(LIST_ITEM(n, struct post, link));
    (void)curl_multi_cleanup(p->multi);
    while ((n = list_first(&p->sockets)) != NULL)
        unwatch(LIST_ITEM(n, struct watched, link));
    spec_unref(p->spec);
    free(p);
}

void post_fini(struct post *post)
{
    if (post->poster)
        (void)curl_multi_remove_handle(post->poster->multi, post->easy);
    list_remove(&post->link);
    if (post->easy)
        curl_easy_cleanup(post->easy);
    request_fini(&post->request);
    free(post->lines);
    *post = (struct post){.easy = NULL};
}
