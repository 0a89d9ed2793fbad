/* spec.h - what a webhook was told to be: its settings, from brokerd.conf or from who manages it.
 *
 * Why      The settings file and the admin calls write the same keys: one parser, one set of
 *          defaults, one set of checks.
 * Shape    A struct webhook_spec is filled key by key and checked as a whole; then it is shared and
 *          never changed. Another version of it is a copy.
 * Owner    A counted reference each; the count is atomic. Texts in it are its own.
 * Errors   0 or -errno; texts for a person go into a buffer of the caller's. No text has a secret
 * in it. Thread   Fill it before it is shared; then any. */
#ifndef BROKERD_WEBHOOKS_SPEC_H
#define BROKERD_WEBHOOKS_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "brokerd/webhooks/address.h"
#include "libbroker/base/slice.h"
#include "libbroker/wire/webhook_sign.h"

enum {
    SPEC_NAME_MAX = 64,      /* bytes of a webhook's name */
    SPEC_LIST_MAX = 64,      /* values of one key */
    SPEC_VALUE_MAX = 2048,   /* bytes of one value */
    SPEC_HEADERS_MAX = 8192, /* bytes of all further header fields */
    SPEC_ERROR_MAX = 512,
    SPEC_KEYS_MAX = 24, /* keys there are */
};

/* The queue that a webhook consumes, and where what it gives up on goes, as topic and as queue. */
#define SPEC_QUEUE_PREFIX "webhook."
#define SPEC_DEAD_SUFFIX ".dead"
enum { SPEC_QUEUE_MAX = sizeof SPEC_QUEUE_PREFIX + SPEC_NAME_MAX + sizeof SPEC_DEAD_SUFFIX };

enum spec_format { SPEC_PLAIN, SPEC_CLOUDEVENTS, SPEC_CLOUDEVENTS_JSON };

struct spec_list {
    char **v;
    size_t n;
};

struct webhook_spec {
    char name[SPEC_NAME_MAX + 1];
    struct spec_list
        said[SPEC_KEYS_MAX]; /* values as they were written, by key; n 0: the default */

    /* What they mean. Texts point into the above. */
    const char *url;
    bool is_https;
    struct slice url_base;   /* the URL without its query: for those who manage */
    struct slice url_origin; /* and without its path: for logs and `$SYS` */
    struct webhook_keys keys;
    enum spec_format format;
    const char *source;
    const char *ca; /* a file; NULL: the system's */
    uint32_t window, break_after;
    int64_t timeout_ms, connect_ms;
    int64_t break_min_ms, break_max_ms;
    uint32_t retry_ms[SPEC_LIST_MAX]; /* before attempts 2, 3, .. */
    size_t retries;
    struct cidr allow[SPEC_LIST_MAX];
    size_t allow_n;
    bool insecure, enabled;
};

/* Why `name` is none for a webhook: static; NULL if it is one. Letters, digits, `-` and `_`. */
const char *spec_name_error(struct slice name);

/* One with that (checked) name and all defaults, the caller's reference. NULL without memory. */
struct webhook_spec *spec_new(const char *name);

/* The same settings, to be changed; the caller's reference. NULL without memory. */
struct webhook_spec *spec_copy(const struct webhook_spec *s);

struct webhook_spec *spec_ref(struct webhook_spec *s);
/* NULL is fine. Returns NULL. */
struct webhook_spec *spec_unref(struct webhook_spec *s);

/* The i-th key there is; NULL past the last. */
const char *spec_key_name(size_t i);
/* Its default, as the settings write it; "" for none. */
const char *spec_key_default(const char *key);
bool spec_key_is_list(const char *key);
bool spec_key_is_secret(const char *key);

/* Is `value` one that `key` may have? -ENOENT: no such key; -EINVAL. */
int spec_value_check(const char *key, struct slice value, char *err, size_t err_size);

/* Add a value to those of `key` (to a key without list: it takes the place of the one there was).
 * -ENOENT, -EINVAL, -ENOSPC with a text; -ENOMEM. */
int spec_add(struct webhook_spec *s, const char *key, struct slice value, char *err,
             size_t err_size);

/* Forget what was said of `key`: its default again. */
void spec_clear(struct webhook_spec *s, const char *key);

/* All is said: take its meaning, and check what no single key can tell. -EINVAL with a text,
 * -ENOMEM. */
int spec_finish(struct webhook_spec *s, char *err, size_t err_size);

/* What was said of `key`. */
const struct spec_list *spec_said(const struct webhook_spec *s, const char *key);

/* The same settings? */
bool spec_equal(const struct webhook_spec *a, const struct webhook_spec *b);

/* The values of `key` as the file would write them, the default where nothing was said; secrets as
 * "(hidden)". Returns `buf`. */
const char *spec_text(const struct webhook_spec *s, const char *key, char *buf, size_t size);

/* Names of its queues; return `buf`. */
const char *spec_queue(const char *name, char buf[SPEC_QUEUE_MAX]);
const char *spec_dead_queue(const char *name, char buf[SPEC_QUEUE_MAX]);

#endif
