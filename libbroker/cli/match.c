#include "libbroker/cli/match.h"

#include <string.h>

#include "libbroker/cli/text.h"

enum { MAX_BYTES = 240, MAX_LEVELS = 16 };

/* Rules that topics and filters share. */
static const char *name_error(const char *name)
{
    size_t len = strlen(name), levels = 1;

    if (len == 0)
        return "is empty";
    if (len > MAX_BYTES)
        return "is longer than 240 bytes";
    if (!cli_is_utf8(name, len))
        return "is not UTF-8";
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
            return "has a blank or control character";
        levels += name[i] == '.';
    }
    if (levels > MAX_LEVELS)
        return "has more than 16 levels";
    if (name[0] == '.' || name[len - 1] == '.' || strstr(name, ".."))
        return "has an empty level";
    return NULL;
}

const char *cli_topic_error(const char *topic)
{
    const char *error = name_error(topic);

    if (!error && strpbrk(topic, "*#"))
        error = "has a wildcard: that is for filters";
    return error;
}

const char *cli_filter_error(const char *filter)
{
    const char *error = name_error(filter);

    for (const char *p = filter; !error && *p; p++) {
        bool alone = (p == filter || p[-1] == '.') && (p[1] == '.' || p[1] == '\0');

        if ((*p == '*' || *p == '#') && !alone)
            error = "has a wildcard that is not a whole level";
        else if (*p == '#' && p[1])
            error = "has a # that is not the last level";
    }
    return error;
}

bool cli_filter_matches(const char *filter, const char *topic)
{
    if (*topic == '$' && (*filter == '*' || *filter == '#'))
        return false;
    for (;;) {
        size_t f = strcspn(filter, "."), t = strcspn(topic, ".");

        if (*filter == '#')
            return true;
        if (!(f == 1 && *filter == '*') && (f != t || memcmp(filter, topic, f) != 0))
            return false;
        filter += f;
        topic += t;
        if (!*topic) /* orders.# matches orders */
            return !*filter || strcmp(filter, ".#") == 0;
        if (!*filter)
            return false;
        filter++;
        topic++;
    }
}
