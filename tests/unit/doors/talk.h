/* talk.h - a conversation with the RSocket door, written as one.
 *
 * Shape    talk(t, "> STREAM 1 n=5 route=subscribe/a\n"    what the client says
 *                  "= k1 attach filter=a credit=5\n"       what the door asks of the core
 *                  "< PAYLOAD 1 NEXT 'x'\n");              what the client hears
 *          All `>` lines of one talk() go in first, in one piece or (t->chopped) byte by byte;
 *          then what the core was asked and what was heard must be these lines.
 *          Words of a frame: TYPE STREAM, flags, then key=value (n, code, route, tag, h=NAME:VALUE,
 *          type, verb=V:FIRST:COUNT:ARG, meta=HEX) and 'data' or hex=DATA.
 *          Included by one test program, after fake_core.h. */
#ifndef TESTS_UNIT_DOORS_TALK_H
#define TESTS_UNIT_DOORS_TALK_H

#include <check.h>
#include <ctype.h>

#include "brokerd/doors/rsocket/rsocket.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/broker_rs.h"
#include "libbroker/wire/composite.h"
#include "libbroker/wire/rsocket.h"

enum { TALK_BYTES = 1 << 20 };

#define COMPOSITE "message/x.rsocket.composite-metadata.v0"
#define ROUTING "message/x.rsocket.routing.v0"

struct talk {
    struct link link;
    struct link_host host;
    struct out_host outs;
    struct door_scratch scratch;
    struct block_pool pool;
    struct door_conn *conn;
    struct block *block;   /* what is being fed lies here */
    size_t kept;           /* bytes not used yet, at its start */
    bool chopped, routing; /* byte by byte; the client's metadata are tags only */
    bool closed;
    enum link_end end; /* once it is */
    char why[256];
    char heard[FAKE_TEXT];
};

static void talk_close(struct link *l, const char *why, enum link_end end)
{
    struct talk *t = (struct talk *)l;

    t->closed = true;
    t->end = end;
    (void)snprintf(t->why, sizeof t->why, "%s", why);
}

static const char *talk_peer(const struct link *l)
{
    (void)l;
    return "test";
}

static struct talk *talk_open(bool chopped)
{
    struct talk *t = calloc(1, sizeof *t);

    ck_assert_ptr_nonnull(t);
    fake_reset();
    t->chopped = chopped;
    t->host = (struct link_host){.limits = {.first_frame_max = 4096,
                                            .frame_max = 65536,
                                            .message_max = 1 << 20,
                                            .reassembly_max = 2 << 20,
                                            .streams_max = 8,
                                            .keepalive_min_ms = 100,
                                            .idle_max_ms = 60000,
                                            .session_bytes = 4096,
                                            .session_ms = 60000,
                                            .sessions_max = 3,
                                            .lease_requests = 4,
                                            .lease_ms = 10000},
                                 .scratch = &t->scratch,
                                 .close = talk_close,
                                 .peer = talk_peer};
    t->outs.pool = &t->pool;
    t->link = (struct link){.host = &t->host};
    out_init(&t->link.out, &t->outs);
    t->block = block_new(TALK_BYTES);
    t->conn = rsocket_door.open(&t->link);
    ck_assert_ptr_nonnull(t->conn);
    return t;
}

static void talk_end(struct talk *t)
{
    rsocket_door.free(t->conn);
    ck_assert(!fake.endpoint_open);
    ck_assert_int_eq(fake.charged, 0);
    out_fini(&t->link.out);
    out_host_fini(&t->outs);
    block_pool_fini(&t->pool);
    block_unref(t->block);
    free(t);
}

/* Give the door what came, as net does: what it did not use comes again with more. */
static void feed(struct talk *t, const uint8_t *p, size_t n)
{
    size_t step = t->chopped ? 1 : n;

    for (size_t done = 0; done < n && !t->closed; done += step) {
        size_t used;

        ck_assert_uint_le(t->kept + step, TALK_BYTES);
        memcpy(t->block->bytes + t->kept, p + done, step);
        t->kept += step;
        used = rsocket_door.on_bytes(t->conn, slice_of(t->block->bytes, t->kept), t->block);
        ck_assert_uint_le(used, t->kept);
        t->kept -= used;
        memmove(t->block->bytes, t->block->bytes + used, t->kept);
        if (t->kept >= RS_TCP_LENGTH && !t->closed)
            ck_assert_uint_gt(t->link.need, t->kept);
    }
}

/* ------------------------------------------------------------------------------- what is said */

struct said {
    struct rs_frame f;
    uint8_t metadata[8192], tags[1024], headers[2048], data[8192];
    size_t metadata_n, tags_n, headers_n, data_n;
    char type[256];
    uint8_t token[2048];
    size_t token_n;
    bool raw; /* data are the bytes of the frame */
};

static size_t from_hex(const char *s, uint8_t *out)
{
    size_t n = 0;

    for (; s[0] && s[1]; s += 2) {
        unsigned byte;

        ck_assert_int_eq(sscanf(s, "%2x", &byte), 1);
        out[n++] = (uint8_t)byte;
    }
    return n;
}

static void say_tag(struct said *s, const char *tag)
{
    s->tags_n = (size_t)(routing_put_tag(s->tags + s->tags_n, slice_str(tag)) - s->tags);
}

static void say_header(struct said *s, char *pair)
{
    char *colon = strchr(pair, ':');

    ck_assert_ptr_nonnull(colon);
    *colon = '\0';
    s->headers_n =
        (size_t)(headers_put(s->headers + s->headers_n, slice_str(pair), slice_str(colon + 1)) -
                 s->headers);
}

static void say_verb(struct said *s, const char *text)
{
    struct consumer_verb v;
    unsigned kind;

    ck_assert_int_eq(
        sscanf(text, "%u:%" SCNu64 ":%" SCNu32 ":%" SCNu32, &kind, &v.first, &v.count, &v.argument),
        4);
    v.kind = (enum consumer_verb_kind)kind;
    s->data_n = (size_t)(consumer_verb_put(s->data + s->data_n, &v) - s->data);
}

static bool say_pair(struct said *s, const char *key, char *value)
{
    if (strcmp(key, "n") == 0 || strcmp(key, "code") == 0)
        s->f.number = (uint32_t)strtoul(value, NULL, 0);
    else if (strcmp(key, "route") == 0 || strcmp(key, "tag") == 0)
        say_tag(s, value);
    else if (strcmp(key, "h") == 0)
        say_header(s, value);
    else if (strcmp(key, "type") == 0)
        (void)snprintf(s->type, sizeof s->type, "%s", value);
    else if (strcmp(key, "verb") == 0)
        say_verb(s, value);
    else if (strcmp(key, "hex") == 0)
        s->data_n = from_hex(value, s->data);
    else if (strcmp(key, "meta") == 0) {
        s->f.has_metadata = true;
        s->metadata_n = from_hex(value, s->metadata);
    } else if (strcmp(key, "metadata-mime") == 0)
        s->f.setup.metadata_mime = slice_str(value);
    else if (strcmp(key, "data-mime") == 0)
        s->f.setup.data_mime = slice_str(value);
    else if (strcmp(key, "keepalive") == 0)
        s->f.setup.keepalive_ms = (uint32_t)atoi(value);
    else if (strcmp(key, "lifetime") == 0)
        s->f.setup.lifetime_ms = (uint32_t)atoi(value);
    else if (strcmp(key, "minor") == 0)
        s->f.setup.minor = (uint16_t)atoi(value);
    else if (strcmp(key, "token") == 0) {
        s->token_n = (size_t)snprintf((char *)s->token, sizeof s->token, "%s", value);
        s->f.setup.token = slice_of(s->token, s->token_n);
    } else if (strcmp(key, "count") == 0)
        s->f.count = (uint32_t)strtoul(value, NULL, 0);
    else if (strcmp(key, "position") == 0)
        s->f.position = strtoull(value, NULL, 0);
    else if (strcmp(key, "first") == 0)
        s->f.first_position = strtoull(value, NULL, 0);
    else if (strcmp(key, "major") == 0)
        s->f.setup.major = (uint16_t)atoi(value);
    else
        return false;
    return true;
}

static const struct {
    const char *word;
    uint8_t type;
} talk_types[] = {
    {"SETUP", RS_SETUP},
    {"LEASE", RS_LEASE},
    {"KEEPALIVE", RS_KEEPALIVE},
    {"RR", RS_REQUEST_RESPONSE},
    {"FNF", RS_REQUEST_FNF},
    {"STREAM", RS_REQUEST_STREAM},
    {"CHANNEL", RS_REQUEST_CHANNEL},
    {"N", RS_REQUEST_N},
    {"CANCEL", RS_CANCEL},
    {"PAYLOAD", RS_PAYLOAD},
    {"ERROR", RS_ERROR},
    {"PUSH", RS_METADATA_PUSH},
    {"RESUME", RS_RESUME},
    {"RESUME_OK", RS_RESUME_OK},
    {"EXT", RS_EXT},
};

static const struct {
    const char *word;
    uint16_t flag;
} talk_flags[] = {
    {"NEXT", RS_NEXT},       {"COMPLETE", RS_COMPLETE},           {"FOLLOWS", RS_FOLLOWS},
    {"RESPOND", RS_RESPOND}, {"RESUME-ENABLE", RS_RESUME_ENABLE}, {"LEASE", RS_LEASE_FLAG},
    {"IGNORE", RS_IGNORE},
};

static bool say_flag(struct said *s, const char *word)
{
    for (size_t i = 0; i < sizeof talk_flags / sizeof talk_flags[0]; i++) {
        if (strcmp(word, talk_flags[i].word) == 0) {
            s->f.flags |= talk_flags[i].flag;
            return true;
        }
    }
    return false;
}

static void say_type(struct said *s, const char *word)
{
    if (strcmp(word, "RAW") == 0) {
        s->raw = true;
        return;
    }
    for (size_t i = 0; i < sizeof talk_types / sizeof talk_types[0]; i++) {
        if (strcmp(word, talk_types[i].word) == 0)
            s->f.type = talk_types[i].type;
    }
    ck_assert_msg(s->f.type != 0, "no such frame: %s", word);
    if (s->f.type == RS_SETUP)
        s->f.setup = (struct rs_setup){.major = 1,
                                       .keepalive_ms = 1000,
                                       .lifetime_ms = 5000,
                                       .metadata_mime = SLICE(COMPOSITE),
                                       .data_mime = SLICE("application/octet-stream")};
}

static void say_word(struct said *s, char *word)
{
    char *equals = strchr(word, '=');

    if (word[0] == '\'') {
        s->data_n = strlen(word + 1) - 1;
        memcpy(s->data, word + 1, s->data_n);
    } else if (equals) {
        *equals = '\0';
        ck_assert_msg(say_pair(s, word, equals + 1), "no such key: %s", word);
    } else if (isdigit((unsigned char)word[0])) {
        s->f.stream = (uint32_t)strtoul(word, NULL, 10);
    } else {
        ck_assert_msg(say_flag(s, word), "no such word: %s", word);
    }
}

static void say_metadata(struct talk *t, struct said *s)
{
    static const struct mime mime = {MIME_UNKNOWN,
                                     {(const uint8_t *)HEADERS_MIME, sizeof HEADERS_MIME - 1}};
    struct mime routing = {MIME_ROUTING, {NULL, 0}};
    uint8_t *p = s->metadata;

    if (s->f.has_metadata)
        return;
    if (t->routing && s->tags_n) {
        memcpy(p, s->tags, s->tags_n);
        p += s->tags_n;
    } else if (s->tags_n) {
        p = composite_put(p, &routing, slice_of(s->tags, s->tags_n));
    }
    if (s->type[0])
        p = composite_put_data_type(p, slice_str(s->type));
    if (s->headers_n)
        p = composite_put(p, &mime, slice_of(s->headers, s->headers_n));
    s->metadata_n = (size_t)(p - s->metadata);
    s->f.has_metadata = s->metadata_n > 0;
}

/* The bytes of one line, written at `p`. */
static uint8_t *say(struct talk *t, uint8_t *p, const char *line)
{
    struct said *s = calloc(1, sizeof *s);
    char *words = strdup(line), *save = NULL, *quoted;

    ck_assert(s && words);
    quoted = strchr(words, '\''); /* data may have blanks, and come last */
    if (quoted) {
        say_word(s, quoted);
        *quoted = '\0';
    }
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        if (s->f.type == 0 && !s->raw)
            say_type(s, w);
        else
            say_word(s, w);
    }
    if (s->raw) {
        memcpy(p, s->data, s->data_n);
        p += s->data_n;
    } else {
        say_metadata(t, s);
        s->f.metadata = slice_of(s->metadata, s->metadata_n);
        s->f.data = slice_of(s->data, s->data_n);
        ck_assert_uint_gt(rs_size(&s->f), 0);
        p = rs_put(p, &s->f);
    }
    free(words);
    free(s);
    return p;
}

/* ------------------------------------------------------------------------------ what is heard */

__attribute__((format(printf, 2, 3))) static void heard(struct talk *t, const char *fmt, ...)
{
    size_t n = strlen(t->heard);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(t->heard + n, sizeof t->heard - n, fmt, ap);
    va_end(ap);
}

static void heard_data(struct talk *t, struct slice s)
{
    bool text = true;

    if (s.n == 0)
        return;
    for (size_t i = 0; i < s.n; i++)
        text = text && isprint(s.p[i]);
    if (s.n > 300) {
        heard(t, " %zu bytes", s.n);
    } else if (text) {
        heard(t, " '%.*s'", (int)s.n, (const char *)s.p);
    } else {
        heard(t, " hex=");
        for (size_t i = 0; i < s.n; i++)
            heard(t, "%02x", s.p[i]);
    }
}

static void heard_tags(struct talk *t, struct slice tags)
{
    struct slice tag;

    while (routing_next(&tags, &tag) > 0)
        heard(t, " tag=%.*s", (int)tag.n, (const char *)tag.p);
}

static void heard_headers(struct talk *t, struct slice headers)
{
    struct header h;

    while (headers_next(&headers, &h) > 0)
        heard(t, " h=%.*s:%.*s", (int)h.name.n, (const char *)h.name.p, (int)h.value.n,
              (const char *)h.value.p);
}

static void heard_metadata(struct talk *t, struct slice rest)
{
    struct composite_item item;
    struct mime mime;

    if (t->routing) {
        heard_tags(t, rest);
        return;
    }
    while (composite_next(&rest, &item) > 0) {
        if (item.mime.id == MIME_ROUTING)
            heard_tags(t, item.value);
        else if (item.mime.id == MIME_DATA_TYPE && data_type_decode(item.value, &mime) == 0)
            heard(t, " type=%.*s", (int)mime.name.n, (const char *)mime.name.p);
        else
            heard_headers(t, item.value);
    }
    ck_assert_uint_eq(rest.n, 0);
}

static void heard_frame(struct talk *t, const struct rs_frame *f)
{
    for (size_t i = 0; i < sizeof talk_types / sizeof talk_types[0]; i++) {
        if (talk_types[i].type == f->type)
            heard(t, "< %s %" PRIu32, talk_types[i].word, f->stream);
    }
    if (f->type == RS_PAYLOAD || rs_is_request(f->type)) {
        for (size_t i = 0; i < 3; i++) {
            if (f->flags & talk_flags[i].flag)
                heard(t, " %s", talk_flags[i].word);
        }
    }
    if (f->type == RS_ERROR)
        heard(t, " code=0x%03x", f->number);
    else if (f->type == RS_REQUEST_N || f->type == RS_REQUEST_STREAM ||
             f->type == RS_REQUEST_CHANNEL)
        heard(t, " n=%" PRIu32, f->number);
    else if (f->type == RS_LEASE)
        heard(t, " n=%" PRIu32 " count=%" PRIu32, f->number, f->count);
    if (f->type == RS_KEEPALIVE && (f->flags & RS_RESPOND))
        heard(t, " RESPOND");
    if (f->position || f->type == RS_RESUME_OK)
        heard(t, " position=%" PRIu64, f->position);
    if (f->has_metadata && !(f->flags & RS_FOLLOWS))
        heard_metadata(t, f->metadata);
    heard_data(t, f->data);
    heard(t, "\n");
}

/* All that waits in the output, as lines in t->heard; the output is empty then. */
static void hear(struct talk *t)
{
    uint8_t *all = malloc(t->link.out.pending + 1);
    size_t n = t->link.out.pending, at = 0;
    const char *why = "cut short";
    struct iovec iov[64];

    t->heard[0] = '\0';
    ck_assert_ptr_nonnull(all);
    while (t->link.out.pending > 0) {
        int segments = out_peek(&t->link.out, iov, 64);
        size_t taken = 0;

        for (int i = 0; i < segments; i++) {
            memcpy(all + at + taken, iov[i].iov_base, iov[i].iov_len);
            taken += iov[i].iov_len;
        }
        out_consume(&t->link.out, taken);
        at += taken;
    }
    for (at = 0; at < n;) {
        struct rs_frame f;
        size_t used = 0;

        ck_assert_msg(rs_decode(RS_FRAME_MAX, all + at, n - at, &f, &used, &why) == WIRE_FRAME,
                      "the door wrote a bad frame: %s", why);
        heard_frame(t, &f);
        at += used;
    }
    free(all);
}

/* -------------------------------------------------------------------------------- the two of us */

static void talk(struct talk *t, const char *lines)
{
    uint8_t *in = malloc(TALK_BYTES), *end = in;
    char *core = calloc(1, FAKE_TEXT), *client = calloc(1, FAKE_TEXT);

    ck_assert(in && core && client);
    for (const char *p = lines; *p;) {
        size_t n = strcspn(p, "\n");
        char *line = strndup(p, n);

        if (line[0] == '>')
            end = say(t, end, line + 2);
        else
            (void)sprintf(strchr(line[0] == '=' ? core : client, '\0'), "%s\n", line);
        free(line);
        p += n + (p[n] == '\n');
    }
    feed(t, in, (size_t)(end - in));
    hear(t);
    ck_assert_str_eq(fake.trace, core);
    ck_assert_str_eq(t->heard, client);
    fake.trace[fake.trace_n = 0] = '\0';
    free(in);
    free(core);
    free(client);
}

/* An open connection with composite metadata. */
static struct talk *talk_setup(bool chopped)
{
    struct talk *t = talk_open(chopped);

    talk(t, "> SETUP 0\n");
    ck_assert(rsocket_door.established(t->conn));
    return t;
}

static struct publisher *the_publisher(int number)
{
    return &fake.publisher[number - 1];
}

/* What the core tells a publisher: all up to `upto` has settled, `o` says how. */
static void settled(int publisher, uint64_t upto, const struct outcome *o, size_t n)
{
    fake.endpoint.ops->settled(the_publisher(publisher)->ctx, upto, o, n);
}

static void granted(int publisher, uint32_t n)
{
    fake.endpoint.ops->granted(the_publisher(publisher)->ctx, n);
}

static void closed(int consumer, const char *text, uint64_t lost)
{
    struct refusal why = {.reason = reason_from_text(slice_str(text))};

    (void)snprintf(why.text, sizeof why.text, "%s", text);
    fake.consumer[consumer - 1].open = false;
    fake.endpoint.ops->closed(fake.consumer[consumer - 1].ctx, &why, lost);
}

#endif
