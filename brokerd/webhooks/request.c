#include "brokerd/webhooks/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "brokerd/webhooks/envelope.h"
#include "brokerd/webhooks/field.h"
#include "libbroker/base/headers.h"
#include "libbroker/wire/mime.h"

/* -------------------------------------------------------------------------------------- fields */

static int reserve(struct request *r, size_t more)
{
    size_t cap = r->fields_cap ? r->fields_cap : 512;
    char *p;

    while (cap < r->fields_n + more)
        cap *= 2;
    if (cap == r->fields_cap)
        return 0;
    p = realloc(r->fields, cap);
    if (!p)
        return -ENOMEM;
    r->fields = p;
    r->fields_cap = cap;
    return 0;
}

static int put(struct request *r, const char *prefix, struct slice name, struct slice value)
{
    size_t before = strlen(prefix);
    char *p;

    if (reserve(r, before + name.n + value.n + 3) < 0)
        return -ENOMEM;
    p = r->fields + r->fields_n;
    memcpy(p, prefix, before);
    memcpy(p + before, name.p, name.n);
    p += before + name.n;
    *p++ = value.n ? ':' : ';'; /* curl's way to say a field without a value */
    if (value.n) {
        *p++ = ' ';
        memcpy(p, value.p, value.n);
        p += value.n;
    }
    *p++ = '\0';
    r->fields_n = (size_t)(p - r->fields);
    r->fields_count++;
    return 0;
}

static int put_text(struct request *r, const char *name, const char *value)
{
    return put(r, "", slice_str(name), slice_str(value));
}

/* As a message's header NAME is called in HTTP, by prefix; false: it stays out. Tracing and
 * CloudEvents keep their names. */
static bool prefix_of(struct slice name, const char **ret)
{
    if (name.p[0] == '$' || !field_is_name(name))
        return false;
    *ret =
        field_is(name, "traceparent") || field_is(name, "tracestate") || field_starts(name, "ce-")
            ? ""
            : "broker-meta-";
    return true;
}

static int put_headers(struct request *r, struct slice headers, bool with_ce)
{
    const char *prefix;
    struct header h;

    while (headers_next(&headers, &h) > 0) {
        if (h.name.p[0] == '$' || (!with_ce && field_starts(h.name, "ce-")))
            continue;
        if (!prefix_of(h.name, &prefix) || !field_is_value(h.value) ||
            r->fields_n + h.name.n + h.value.n + 32 > REQUEST_HEAD_MAX) {
            r->left_out++;
            continue;
        }
        if (put(r, prefix, h.name, h.value) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int put_extra(struct request *r, const struct webhook_spec *s)
{
    const struct spec_list *l = spec_said(s, "headers");
    struct slice name, value;

    for (size_t i = 0; i < l->n; i++)
        if (field_split(slice_str(l->v[i]), &name, &value) && put(r, "", name, value) < 0)
            return -ENOMEM;
    return 0;
}

/* ------------------------------------------------------------------------------ what is in them */

static struct slice type_name(struct ctype type)
{
    const char *name = type.id < CTYPE_NONE ? mime_name(type.id) : NULL;

    if (type.id == CTYPE_NAMED && field_is_value(type.name) && type.name.n)
        return type.name;
    return name ? slice_str(name) : SLICE("application/octet-stream");
}

/* Attributes of CloudEvents as fields, but for those that the message has itself. */
static int put_attributes(struct request *r, const struct envelope *e)
{
    char value[ENVELOPE_VALUE_MAX];
    const char *name;
    int n = 0;

    for (size_t i = 0; n >= 0 && (name = envelope_attribute(e, i)) != NULL; i++) {
        if (envelope_is_given(e, name))
            continue;
        n = envelope_field_value(e, name, value, sizeof value);
        if (n > 0)
            n = put(r, "ce-", slice_str(name), slice_of(value, (size_t)n));
    }
    return n;
}

static int put_facts(struct request *r, const struct request_event *e)
{
    char attempt[16];
    int n = 0;

    if (field_is_value(e->topic))
        n = put(r, "", SLICE("broker-topic"), e->topic);
    if (n == 0 && e->attempt > 1) {
        (void)snprintf(attempt, sizeof attempt, "%" PRIu32, e->attempt);
        n = put_text(r, "broker-attempt", attempt);
    }
    if (n == 0 && e->gaps.n)
        n = put(r, "", SLICE("broker-gap"), e->gaps);
    return n;
}

/* Standard Webhooks: id and time also where nothing is signed. */
static int put_signature(struct request *r, const struct webhook_spec *s, int64_t time_s)
{
    struct webhook_content c = {
        .id = slice_str(r->id), .time_s = time_s, .body = &r->body, .body_n = 1};
    char text[WEBHOOK_SIGNATURE_MAX];
    int n;

    (void)snprintf(text, sizeof text, "%" PRId64, time_s);
    if (put_text(r, "webhook-id", r->id) < 0 || put_text(r, "webhook-timestamp", text) < 0)
        return -ENOMEM;
    if (!s->keys.n)
        return 0;
    n = webhook_sign(&s->keys, &c, text);
    return n < 0 ? n : put_text(r, "webhook-signature", text);
}

/* ------------------------------------------------------------------------------------- the whole
 */

static int put_content(struct request *r, const struct webhook_spec *s,
                       const struct request_event *e)
{
    struct envelope env = {.id = r->id,
                           .source = s->source,
                           .topic = e->topic,
                           .time_ms = e->time_ms,
                           .headers = e->headers,
                           .type = type_name(e->type),
                           .data = e->data};
    bool is_event = field_starts(env.type, "application/cloudevents"); /* as it came */
    int n;

    r->body = e->data;
    if (s->format != SPEC_CLOUDEVENTS_JSON || is_event) {
        n = put(r, "", SLICE("content-type"), env.type);
        if (n == 0 && s->format == SPEC_CLOUDEVENTS && !is_event)
            n = put_attributes(r, &env);
        return n < 0 ? n : put_headers(r, e->headers, true);
    }
    n = envelope_json(&env, &r->own_body, &r->body.n);
    r->body.p = r->own_body;
    if (n == 0)
        n = put_text(r, "content-type", "application/cloudevents+json; charset=utf-8");
    return n < 0 ? n : put_headers(r, e->headers, false);
}

int request_build(struct request *r, const struct webhook_spec *s, const struct request_event *e,
                  int64_t wall_ms)
{
    int n;

    free(r->own_body);
    r->own_body = NULL;
    r->fields_n = 0;
    r->fields_count = r->left_out = 0;
    (void)snprintf(r->id, sizeof r->id, "msg_%016" PRIx64, e->id);
    n = put_extra(r, s);
    if (n == 0)
        n = put_facts(r, e);
    if (n == 0)
        n = put_content(r, s, e);
    return n < 0 ? n : put_signature(r, s, wall_ms / 1000);
}

void request_fini(struct request *r)
{
    free(r->fields);
    free(r->own_body);
    *r = (struct request){.fields = NULL};
}
