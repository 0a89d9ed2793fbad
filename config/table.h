/* table.h - the one table of settings: a row a key.
 *
 * Why      Parser, defaults, checks, reload, brokerd.conf.example and the manual must agree; so
 *          they read the same rows.
 * Shape    Scalar keys name a field of struct settings. The keys of queues and subscriptions are
 *          policy.h's, listed here for their texts and their place in the file. What interfaces
 *          name and this version cannot do yet stands here too, so that it is refused as such.
 * Owner    Everything is static.
 * Thread   Any: constants and pure functions. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"

enum { SETTING_VALUE_MAX = REDIS_URL_MAX };

enum setting_type {
    SETTING_COUNT,     /* uint32_t; UINT32_MAX for `unlimited`, 0 for `auto`, where allowed */
    SETTING_SIZE,      /* uint64_t, bytes */
    SETTING_TIME,      /* int64_t, ms */
    SETTING_BOOL,      /* bool */
    SETTING_WORD,      /* unsigned: the index of one of `words` */
    SETTING_TEXT,      /* an array of `max` char, terminated; what it may be `wrong` tells */
    SETTING_POLICY,    /* a key of struct queue_policy */
    SETTING_FILTERS,   /* a list of filters: a queue's `bind` */
    SETTING_PROTOCOLS, /* a list of names: a listener's `protocols` */
    SETTING_FLAG,      /* a listener's own bool: `insecure` */
    SETTING_ORIGINS,   /* a list: a listener's `origins` */
    SETTING_WEBHOOK,   /* a key of struct webhook_spec */
    SETTING_WEBHOOKS,  /* one that is a list */
    SETTING_HOOK,      /* a key of a webhook in (doors/inlet.h) */
    SETTING_HOOKS,     /* one that is a list */
    SETTING_LATER,     /* a key, or with an empty one a section, that this version lacks */
};

struct setting {
    const char *section; /* "" for those at the top; "limits", "log", "listen", "queue".. */
    const char *key;
    enum setting_type type;
    const char *fallback;     /* the default, as in the file; SETTING_POLICY: NULL */
    uint64_t min, max;        /* of numbers; max UINT64_MAX: `unlimited` or `never` is allowed */
    size_t offset;            /* scalars: of the field in struct settings */
    const char *const *words; /* SETTING_WORD: ended by NULL */
    bool auto_;               /* SETTING_COUNT: `auto` is allowed */
    bool restart;             /* a change takes a restart */
    const char *title;        /* only in the section of that title; NULL: whatever its title */
    /* SETTING_TEXT: NULL, or what was expected, perhaps in `buf`. */
    const char *(*wrong)(struct slice value, char *buf, size_t size);
    const char *text; /* what it is for: a sentence or two */
};

struct section {
    const char *name;
    const char *title; /* NULL: has none; else the one the example shows */
    const char *text;
};

/* The i-th row, in the order of the example; NULL past the last. */
const struct setting *setting_at(size_t i);

/* The row of a key, NULL for none. `section` is "" at the top. */
const struct setting *setting_find(const char *section, const char *key);

/* The i-th section, the top (name "") first; NULL past the last. */
const struct section *section_at(size_t i);

/* Is `type` one field of struct settings? */
bool setting_is_scalar(enum setting_type type);

/* Is it a list of values? */
bool setting_is_list(enum setting_type type);

/* The kind of policy a section holds; only for "queue" and "subscription". */
enum policy_kind setting_policy_kind(const char *section);

/* Check the text of a value; a list is checked element by element. 0, or -EINVAL and what was
 * expected, beginning with the key, in `err`. */
int setting_check(const struct setting *row, struct slice value, char *err, size_t err_size);

/* Put a checked value into the field of a scalar row. */
void setting_store(const struct setting *row, struct slice value, struct settings *settings);

/* The value of a scalar row as the file would write it, but for a password in a URL. Returns
 * `buf`; SETTING_VALUE_MAX is enough. */
const char *setting_format(const struct setting *row, const struct settings *settings, char *buf,
                           size_t size);

/* A checked value of SETTING_BOOL or SETTING_FLAG. */
bool setting_bool(struct slice value);

/* The static name of a door that `protocols` may list, for a checked value. */
const char *setting_protocol(struct slice name);

/* The key of `section` (or the section, at the top) that is most like `word`, perhaps mistyped;
 * NULL if none is near. */
const char *setting_closest(const char *section, const char *word);

#endif
