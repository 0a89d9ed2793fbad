#include "brokerd/webhooks/field.h"

static uint8_t lower_of(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c;
}

bool field_starts(struct slice name, const char *lower)
{
    size_t n = strlen(lower);

    if (name.n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower_of(name.p[i]) != (uint8_t)lower[i])
            return false;
    return true;
}

bool field_is(struct slice name, const char *lower)
{
    return name.n == strlen(lower) && field_starts(name, lower);
}

bool field_is_name(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = lower_of(name.p[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.n > 0;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

bool field_is_value(struct slice value)
{
    for (size_t i = 0; i < value.n; i++)
        if ((value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return false;
    return value.n == 0 || (!is_blank(value.p[0]) && !is_blank(value.p[value.n - 1]));
}

bool field_is_ours(struct slice name)
{
    static const char *const whole[] = {"host",
                                        "content-length",
                                        "content-type",
                                        "transfer-encoding",
                                        "connection",
                                        "keep-alive",
                                        "te",
                                        "trailer",
                                        "upgrade",
                                        "expect",
                                        NULL};
    static const char *const beginning[] = {"webhook-", "broker-", "proxy-", NULL};

    for (size_t i = 0; whole[i]; i++)
        if (field_is(name, whole[i]))
            return true;
    for (size_t i = 0; beginning[i]; i++)
        if (field_starts(name, beginning[i]))
            return true;
    return false;
}

bool field_split(struct slice line, struct slice *name, struct slice *value)
{
    const uint8_t *colon = line.n ? memchr(line.p, ':', line.n) : NULL;

    if (!colon)
        return false;
    *name = slice_of(line.p, (size_t)(colon - line.p));
    *value = slice_from(line, name->n + 1);
    while (value->n && is_blank(value->p[0]))
        *value = slice_from(*value, 1);
    while (value->n && is_blank(value->p[value->n - 1]))
        value->n--;
    return true;
}

const char *field_extra_error(struct slice line)
{
    struct slice name, value;

    if (!field_split(line, &name, &value) || !field_is_name(name) || !field_is_value(value))
        return "NAME: VALUE, a header field";
    if (value.n == 0)
        return "a header field with a value";
    if (field_is_ours(name))
        return "a header field of your own (the connection's, the body's, webhook- and broker- are "
               "not)";
    return NULL;
}
