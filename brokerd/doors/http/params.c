#include "brokerd/doors/http/params.h"

#include "brokerd/doors/http/route.h"
#include "brokerd/doors/options.h"
#include "brokerd/doors/refuse.h"
#include "libbroker/base/headers.h"
#include "libbroker/base/units.h"
#include "libbroker/base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_MAX = 24 }; /* characters of one */

static int wrong(struct refusal *why, const char *what)
{
    refuse(why, REASON_INVALID, "%s", what);
    return -EINVAL;
}

static int wrong_value(struct refusal *why, const struct param *v, const char *wanted)
{
    char name[64], value[64];

    refuse(why, REASON_INVALID, "%s is %s, not %s", shown(v->name, name, sizeof name),
           shown(v->value, value, sizeof value), wanted);
    return -EINVAL;
}

/* ------------------------------------------------------------------------------- reading */

static size_t pairs_of(struct slice query)
{
    size_t n = query.n != 0;

    for (size_t i = 0; i < query.n; i++)
        n += query.p[i] == '&';
    return n;
}

/* How many a body may make, a list counting as many as it has. */
static size_t values_of(const json_t *body)
{
    json_t *value;
    const char *name;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)body, name, value) n +=
        json_is_array(value) ? json_array_size(value) : 1;
    return n;
}

static int decode(struct slice s, uint8_t **at, struct slice *ret)
{
    long n = percent_decode(s, true, *at, s.n);

    if (n < 0)
        return -EINVAL;
    *ret = slice_of(*at, (size_t)n);
    *at += n;
    return utf8_valid(*ret) ? 0 : -EINVAL;
}

static int read_query(struct params *p, struct slice rest, uint8_t **at, struct refusal *why)
{
    while (rest.n) {
        const uint8_t *end = memchr(rest.p, '&', rest.n), *equals;
        struct slice pair = slice_of(rest.p, end ? (size_t)(end - rest.p) : rest.n);
        struct param *v = &p->all[p->n];

        rest = end ? slice_from(rest, pair.n + 1) : slice_of(NULL, 0);
        if (!pair.n)
            continue;
        equals = memchr(pair.p, '=', pair.n);
        *v = (struct param){.taken = false};
        if (decode(slice_of(pair.p, equals ? (size_t)(equals - pair.p) : pair.n), at, &v->name) <
                0 ||
            (equals && decode(slice_from(pair, (size_t)(equals - pair.p) + 1), at, &v->value) < 0))
            return wrong(why, "the query cannot be understood: NAME=VALUE, with & between them, "
                              "percent-encoded UTF-8");
        p->n++;
    }
    return 0;
}

static int add(struct params *p, const char *name, const json_t *value, uint8_t **at,
               struct refusal *why)
{
    struct param *v = &p->all[p->n];

    *v = (struct param){.name = slice_str(name)};
    if (json_is_string(value)) {
        v->value = slice_of(json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        int n =
            snprintf((char *)*at, NUMBER_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));

        v->value = slice_of(*at, (size_t)n);
        *at += n;
    } else if (json_is_boolean(value)) {
        v->value = json_is_true(value) ? SLICE("1") : SLICE("0");
    } else {
        char text[64];

        refuse(why, REASON_INVALID, "%s is neither a text nor a number nor true or false",
               shown(v->name, text, sizeof text));
        return -EINVAL;
    }
    p->n++;
    return 0;
}

static int read_body(struct params *p, uint8_t *at, struct refusal *why)
{
    const char *name;
    json_t *value;

    json_object_foreach(p->body, name, value)
    {
        size_t n = json_is_array(value) ? json_array_size(value) : 1;

        for (size_t i = 0; i < n; i++) {
            int r = add(p, name, json_is_array(value) ? json_array_get(value, i) : value, &at, why);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int load(struct params *p, struct slice body, struct refusal *why)
{
    json_error_t error;

    if (!body.n)
        return 0;
    p->body = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(p->body))
        return 0;
    if (p->body || json_error_code(&error) != json_error_out_of_memory)
        return wrong(why, "the body is no JSON object");
    refuse_memory(why);
    return -ENOMEM;
}

int params_read(struct params *p, struct slice query, struct slice body, struct refusal *ret_why)
{
    size_t most, values;
    uint8_t *at;
    int r;

    *p = (struct params){.n = 0};
    r = load(p, body, ret_why);
    if (r < 0)
        return r;
    values = p->body ? values_of(p->body) : 0;
    most = pairs_of(query) + values;
    p->all = calloc(most + 1, sizeof *p->all);
    at = p->text = malloc(query.n + values * NUMBER_MAX + 1);
    if (!p->all || !p->text) {
        refuse_memory(ret_why);
        return -ENOMEM;
    }
    r = read_query(p, query, &at, ret_why);
    return r < 0 || !p->body ? r : read_body(p, at, ret_why);
}

void params_free(struct params *p)
{
    json_decref(p->body);
    free(p->all);
    free(p->text);
    free(p->headers);
}

/* -------------------------------------------------------------------------------- taking */

static struct param *find(struct params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->all[i].taken && slice_eq(p->all[i].name, slice_str(name))) {
            p->all[i].taken = true;
            return &p->all[i];
        }
    return NULL;
}

bool params_take(struct params *p, const char *name, struct slice *ret)
{
    const struct param *v = find(p, name);

    if (v)
        *ret = v->value;
    return v;
}

int params_count(struct params *p, const char *name, uint64_t most, uint64_t *ret,
                 struct refusal *ret_why)
{
    const struct param *v = find(p, name);
    char wanted[64];
    uint64_t n;

    if (!v)
        return 0;
    if (units_parse_count(v->value, 0, &n) < 0 || n > most) {
        (void)snprintf(wanted, sizeof wanted, "a number from 1 to %" PRIu64, most);
        return wrong_value(ret_why, v, wanted);
    }
    *ret = n;
    return 0;
}

int params_time(struct params *p, const char *name, int64_t most_ms, int64_t *ret,
                struct refusal *ret_why)
{
    const struct param *v = find(p, name);
    char wanted[96], most[UNITS_TEXT_MAX];
    int64_t ms;

    if (!v)
        return 0;
    if (units_parse_time(v->value, UNITS_ZERO | UNITS_PLAIN_MS, &ms) < 0 || ms > most_ms) {
        (void)snprintf(wanted, sizeof wanted, "a time up to %s, as 500ms, 30s or 2m",
                       units_format_time(most_ms, most, sizeof most));
        return wrong_value(ret_why, v, wanted);
    }
    *ret = ms;
    return 0;
}

int params_word(struct params *p, const char *name, const char *no, const char *yes, bool *ret,
                struct refusal *ret_why)
{
    const struct param *v = find(p, name);
    char wanted[64];

    if (!v)
        return 0;
    *ret = slice_eq(v->value, slice_str(yes));
    if (*ret || slice_eq(v->value, slice_str(no)))
        return 0;
    (void)snprintf(wanted, sizeof wanted, "%s or %s", no, yes);
    return wrong_value(ret_why, v, wanted);
}

int params_filters(struct params *p, struct slice *ret, unsigned most, unsigned *ret_n,
                   struct refusal *ret_why)
{
    const struct param *v;

    while ((v = find(p, "filter")) != NULL) {
        if (*ret_n == most) {
            refuse(ret_why, REASON_LIMIT, "at most %u filters", most);
            return -EINVAL;
        }
        ret[(*ret_n)++] = v->value;
    }
    return 0;
}

static bool is_setting(struct slice name, enum policy_kind kind)
{
    return slice_eq(name, SLICE("facts")) || slice_eq(name, SLICE("from")) ||
           policy_has_key(kind, name);
}

static int not_known(const struct param *v, struct refusal *why)
{
    char name[64];

    refuse(why, REASON_INVALID, "%s is not known here, or is said twice",
           shown(v->name, name, sizeof name));
    return -EINVAL;
}

int params_settings(struct params *p, enum policy_kind kind, struct slice *ret, bool *ret_facts,
                    struct refusal *ret_why)
{
    uint8_t name[HEADERS_NAME_MAX], *at;
    struct options options;
    struct slice all;
    size_t n = 1;

    for (size_t i = 0; i < p->n; i++) {
        const struct param *v = &p->all[i];

        if (v->taken)
            continue;
        if (!is_setting(v->name, kind) || v->name.n >= sizeof name)
            return not_known(v, ret_why);
        if (v->value.n > HEADERS_VALUE_MAX)
            return wrong_value(ret_why, v, "so long");
        n += headers_size(v->name.n + 1, v->value.n);
    }
    at = p->headers = malloc(2 * n); /* for what options_read() would take out, too */
    if (!at) {
        refuse_memory(ret_why);
        return -ENOMEM;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct param *v = &p->all[i];

        if (v->taken)
            continue;
        v->taken = true;
        name[0] = '$';
        memcpy(name + 1, v->name.p, v->name.n);
        at = headers_put(at, slice_of(name, v->name.n + 1), v->value);
    }
    all = slice_of(p->headers, (size_t)(at - p->headers));
    if (options_read(all, OPTION_FACTS | OPTION_OTHERS, p->headers + n, &options, ret_why) < 0)
        return -EINVAL;
    *ret = all;
    *ret_facts = options.facts;
    return 0;
}

int params_done(const struct params *p, struct refusal *ret_why)
{
    for (size_t i = 0; i < p->n; i++)
        if (!p->all[i].taken)
            return not_known(&p->all[i], ret_why);
    return 0;
}
