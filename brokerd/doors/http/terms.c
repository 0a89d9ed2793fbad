#include "brokerd/doors/http/terms.h"

#include <arpa/inet.h>

#include "libbroker/wire/handshake.h"

enum { LENGTH_DIGITS = 18, HOST_TEXT_MAX = 64 };

/* What is seen once must not come again. */
struct reading {
    struct terms *t;
    const char *why;
    int status;
    bool has_length, closes, keeps;
};

static void wrong(struct reading *g, int status, const char *why)
{
    if (g->status)
        return;
    g->status = status;
    g->why = why;
}

static bool starts(struct slice s, struct slice prefix)
{
    return s.n > prefix.n && http_same(slice_of(s.p, prefix.n), prefix);
}

bool terms_is_header(struct slice n)
{
    switch (n.n ? n.p[0] | 0x20 : 0) {
    case 'b':
        return starts(n, SLICE("broker-"));
    case 'c':
        return starts(n, SLICE("ce-"));
    case 'i':
        return http_same(n, SLICE("idempotency-key"));
    case 't':
        return http_same(n, SLICE("traceparent")) || http_same(n, SLICE("tracestate"));
    default:
        return false;
    }
}

/* ---- single fields */

static void take_host(struct reading *g, struct slice value)
{
    if (g->t->host.p)
        wrong(g, 400, "the field Host comes twice");
    g->t->host = value;
}

static void take_origin(struct reading *g, struct slice value)
{
    if (g->t->origin.p)
        wrong(g, 400, "the field Origin comes twice");
    g->t->origin = value;
}

/* Fetch metadata: what is asked for by a picture, a script or a frame comes without an Origin. */
static void take_site(struct reading *g, struct slice value)
{
    g->t->is_led = slice_eq(value, SLICE("cross-site")) || slice_eq(value, SLICE("same-site"));
}

static void take_type(struct reading *g, struct slice value)
{
    if (g->t->type.p)
        wrong(g, 400, "the field Content-Type comes twice");
    g->t->type = value;
}

static void take_length(struct reading *g, struct slice value)
{
    uint64_t n = 0;

    if (g->has_length)
        wrong(g, 400, "the field Content-Length comes twice");
    g->has_length = true;
    if (value.n == 0 || value.n > LENGTH_DIGITS)
        wrong(g, value.n ? 413 : 400, "Content-Length is not a number of bytes");
    for (size_t i = 0; i < value.n && i < LENGTH_DIGITS; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            wrong(g, 400, "Content-Length is not a number of bytes");
        n = 10 * n + (uint64_t)(value.p[i] - '0');
    }
    g->t->length = n;
}

static void take_coding(struct reading *g, struct slice value)
{
    if (g->t->is_chunked)
        wrong(g, 400, "the field Transfer-Encoding comes twice");
    if (!http_same(value, SLICE("chunked")))
        wrong(g, 501, "of transfer encodings only chunked is understood");
    g->t->is_chunked = true;
}

static void take_expect(struct reading *g, struct slice value)
{
    if (!http_same(value, SLICE("100-continue")))
        wrong(g, 417, "of expectations only 100-continue is understood");
    g->t->continues = true;
}

static void take_upgrade(struct reading *g, struct slice value)
{
    (void)value; /* it is a list, which is looked at as a whole */
    g->t->upgrades = true;
}

static void take_connection(struct reading *g, struct slice value)
{
    const struct slice close = SLICE("close"), keep = SLICE("keep-alive");

    if (http_same(value, keep)) {
        g->keeps = true;
        return;
    }
    while (value.n) {
        const uint8_t *comma = memchr(value.p, ',', value.n);
        struct slice word = slice_of(value.p, comma ? (size_t)(comma - value.p) : value.n);

        value = slice_from(value, word.n + (comma != NULL));
        while (word.n && (word.p[0] == ' ' || word.p[0] == '\t'))
            word = slice_from(word, 1);
        while (word.n && (word.p[word.n - 1] == ' ' || word.p[word.n - 1] == '\t'))
            word.n--;
        g->closes = g->closes || http_same(word, close);
        g->keeps = g->keeps || http_same(word, keep);
    }
}

static const struct {
    struct slice name;
    void (*take)(struct reading *g, struct slice value);
} fields[] = {
    {SLICE("host"), take_host},
    {SLICE("expect"), take_expect},
    {SLICE("origin"), take_origin},
    {SLICE("upgrade"), take_upgrade},
    {SLICE("connection"), take_connection},
    {SLICE("content-type"), take_type},
    {SLICE("sec-fetch-site"), take_site},
    {SLICE("content-length"), take_length},
    {SLICE("transfer-encoding"), take_coding},
};

static void take_field(struct reading *g, const struct http_field *f)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (f->name.n != fields[i].name.n || !http_same(f->name, fields[i].name))
            continue;
        fields[i].take(g, f->value);
        return;
    }
    g->t->says_more = g->t->says_more || terms_is_header(f->name);
}

/* ---- all of them together */

static void look_at_all(struct reading *g, const struct http_request *r)
{
    struct terms *t = g->t;

    if (!t->method)
        wrong(g, 501, "this method is not known");
    if (!t->is_old && !t->host.p)
        wrong(g, 400, "the field Host is missing");
    if (t->is_chunked && g->has_length)
        wrong(g, 400, "Content-Length and Transfer-Encoding exclude each other");
    if (t->is_chunked && t->is_old)
        wrong(g, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (r->target.n == 0 || (r->target.p[0] != '/' && !slice_eq(r->target, SLICE("*"))))
        wrong(g, 400, "a request names a path, which begins with a slash");
    t->continues = t->continues && !t->is_old && (t->is_chunked || t->length);
    t->keeps = t->is_old ? g->keeps && !g->closes : !g->closes;
    t->upgrades = t->upgrades && handshake_is_asked(r);
}

int terms_read(const struct http_request *r, struct terms *ret, const char **ret_why)
{
    struct reading g = {.t = ret};

    *ret = (struct terms){.method = method_of(r->method), .is_old = r->minor == 0};
    if (r->major != 1 || r->minor > 1)
        wrong(&g, 505, "HTTP/1.1 and HTTP/1.0 are understood");
    for (unsigned i = 0; i < r->fields_n; i++)
        take_field(&g, &r->field[i]);
    look_at_all(&g, r);
    *ret_why = g.why;
    return g.status;
}

/* ---- who may come */

/* The entry of `origins` that this one is, by name or else as any; NULL: none. */
static const char *listed(struct slice origin, const struct door_site *site)
{
    const char *any = NULL;

    for (size_t i = 0; i < site->origins_n; i++) {
        if (http_same(origin, slice_str(site->origins[i])))
            return site->origins[i];
        if (strcmp(site->origins[i], "*") == 0)
            any = site->origins[i];
    }
    return any;
}

static bool is_address(struct slice name)
{
    char text[HOST_TEXT_MAX];
    uint8_t address[16];
    bool six = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';

    if (six)
        name = slice_of(name.p + 1, name.n - 2);
    if (name.n == 0 || name.n >= sizeof text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    return inet_pton(six ? AF_INET6 : AF_INET, text, address) == 1;
}

/* A name that is not ours may have been made to lead here (DNS rebinding): a page of that name
 * would be of the same host as we. */
static bool host_is_ours(struct slice host, const struct door_site *site)
{
    struct slice name = handshake_without_port(host);

    if (!site->is_loopback || http_same(name, SLICE("localhost")) || is_address(name))
        return true;
    for (size_t i = 0; i < site->origins_n; i++) {
        if (handshake_same_host(slice_str(site->origins[i]), host))
            return true;
    }
    return false;
}

int terms_judge(struct terms *t, const struct door_site *site, const char **ret_why)
{
    if (t->host.p && !host_is_ours(t->host, site)) {
        *ret_why = "this listener is on loopback, and is called localhost or by its address; the "
                   "listener's `origins` may name another";
        return 403;
    }
    t->is_foreign = t->is_guest = t->is_led;
    if (!t->origin.p)
        return 0; /* no browser, or it leads here: GET */
    t->cors = listed(t->origin, site);
    t->is_foreign = !t->cors && !(t->host.p && handshake_same_host(t->origin, t->host));
    t->is_guest = !(t->cors && strcmp(t->cors, "*") != 0) &&
                  !(t->host.p && handshake_same_origin(t->origin, t->host));
    if (!t->is_foreign || (!t->upgrades && (t->method & (METHOD_GET | METHOD_HEAD))))
        return 0;
    *ret_why = "pages of this origin may not come here; the listener's `origins` may say so";
    return 403;
}
