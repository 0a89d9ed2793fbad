#include "brokerd/store/redis/keys.h"

#include "brokerd/store/redis/link.h"

#include <errno.h>
#include <stdlib.h>

static bool is_special(uint8_t c)
{
    return c == '{' || c == '}' || c == '%';
}

static char *put_name(char *p, struct slice name)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];

        if (is_special(c)) {
            *p++ = '%';
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        } else {
            *p++ = (char)c;
        }
    }
    return p;
}

int keys_init(struct keys *k, struct slice prefix, struct slice name)
{
    static const char ends[KEYS_N] = {'m', 's', 'b', 'a'};
    size_t most = prefix.n + 3 + 3 * name.n + 2;
    char *bytes = malloc(KEYS_N * most);
    char *p = bytes;
    size_t n;

    if (!bytes)
        return -ENOMEM;
    memcpy(p, prefix.p, prefix.n);
    p += prefix.n;
    *p++ = ':';
    *p++ = '{';
    p = put_name(p, name);
    *p++ = '}';
    n = (size_t)(p - bytes);
    *p++ = ':';
    *p++ = ends[0];
    k->bytes = bytes;
    k->base = slice_of(bytes, n);
    k->key[0] = slice_of(bytes, n + 2);
    for (int i = 1; i < KEYS_N; i++) {
        memcpy(p, bytes, n + 1);
        p[n + 1] = ends[i];
        k->key[i] = slice_of(p, n + 2);
        p += n + 2;
    }
    k->slot = link_slot(k->base);
    return 0;
}

void keys_fini(struct keys *k)
{
    free(k->bytes);
    k->bytes = NULL;
}

bool keys_prefix_fits(struct slice prefix)
{
    for (size_t i = 0; i < prefix.n; i++)
        if (prefix.p[i] <= ' ' || prefix.p[i] >= 0x7f || is_special(prefix.p[i]))
            return false;
    return prefix.n >= 1 && prefix.n <= KEYS_PREFIX_MAX;
}
