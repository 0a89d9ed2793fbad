/* inlet.h - webhooks in: what the settings say of each, as the HTTP door needs it.
 *
 * Why      A hook, as people call it, names a topic and who may publish to it: who knows a secret,
 *          and shows so by a signature (wire/webhook_sign.h).
 * Shape    Filled key by key, from one table of keys, then checked as a whole. A set of them is a
 *          snapshot, which a reload replaces.
 * Owner    A set is a counted reference, and the count atomic: snapshots pass between workers.
 *          Hooks belong to their set. Secrets are kept only as what signatures are made with.
 * Errors   0 or -errno, with a text for a person, which begins with the key and has no secret.
 * Thread   Before it is shared, one; then any. */
#ifndef BROKERD_DOORS_INLET_H
#define BROKERD_DOORS_INLET_H

#include <stdbool.h>

#include "libbroker/base/name.h"
#include "libbroker/wire/webhook_sign.h"

enum {
    INLET_NAME_MAX = 64,
    INLET_HEADERS_MAX = 16, /* fields of a request that are passed on */
    INLET_FIELD_MAX = 64,   /* bytes of the name of one */
    INLET_ERROR_MAX = 512,
    INLETS_MAX = 1024, /* hooks of a set */
};

/* How a request shows that it is genuine, besides the schemes that are signed. */
enum inlet_scheme {
    INLET_STANDARD = WEBHOOK_STANDARD,
    INLET_GITHUB = WEBHOOK_GITHUB,
    INLET_STRIPE = WEBHOOK_STRIPE,
    INLET_NONE, /* it does not: whoever may come to the listener may publish */
};

struct inlet {
    char name[INLET_NAME_MAX + 1];
    char topic[NAME_MAX_BYTES + 1];
    enum inlet_scheme scheme;
    struct webhook_keys keys;
    uint64_t secrets;     /* a hash of them, to see that they have changed */
    int64_t tolerance_ms; /* between the sender's clock and ours; or POLICY_NEVER: any */
    bool require;         /* refuse `no-match` */
    char headers[INLET_HEADERS_MAX][INLET_FIELD_MAX + 1];
    unsigned headers_n;
};

/* The i-th key, in the order in which they must be set; NULL past the last. */
const char *inlet_key_name(unsigned i);

/* Is it a list; does it have a secret, or the name of a file with one? */
bool inlet_key_is_list(const char *key);
bool inlet_key_is_secret(const char *key);
bool inlet_key_is_file(const char *key);

/* Why `name` is none for a hook: static; NULL: it is one. */
const char *inlet_name_error(struct slice name);

/* Is `value` one that the key may have (as far as it can be told alone)? -EINVAL. */
int inlet_check(const char *key, struct slice value, char *err, size_t err_size);

/* A hook with that (checked) name and all defaults; NULL without memory. */
struct inlet *inlet_new(struct slice name);
void inlet_free(struct inlet *h); /* NULL is fine */

/* Set a key, or add to a list; of a key of a file, `value` is what the file has. -EINVAL, -ENOMEM.
 */
int inlet_set(struct inlet *h, const char *key, struct slice value, char *err, size_t err_size);

/* All is said: is that enough, and not too much? -EINVAL. */
int inlet_finish(const struct inlet *h, char *err, size_t err_size);

/* The value of a key as the settings write it, secrets as "(hidden)". Returns `buf`. */
const char *inlet_text(const struct inlet *h, const char *key, char *buf, size_t size);
/* Do both say the same? */
bool inlet_key_same(const struct inlet *a, const struct inlet *b, const char *key);

/* ---- sets */

struct inlets;

/* Without any; the caller's reference. NULL without memory. */
struct inlets *inlets_new(void);
struct inlets *inlets_ref(struct inlets *s);   /* NULL is fine; returns s */
struct inlets *inlets_unref(struct inlets *s); /* NULL is fine; returns NULL */

/* Add a hook, which is the set's from then on. Only before it is shared. -ENOMEM: it is not. */
int inlets_add(struct inlets *s, struct inlet *h);

/* The i-th, in the order of the file; NULL past the last. */
const struct inlet *inlets_at(const struct inlets *s, size_t i);

/* The one called so; NULL: there is none, or no set. */
const struct inlet *inlets_find(const struct inlets *s, struct slice name);

#endif
