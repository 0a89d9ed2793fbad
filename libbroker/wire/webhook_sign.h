/* webhook_sign.h - signatures of webhooks: what we send is signed, what we are sent is verified.
 *
 * Why      Who takes a webhook has no other proof of who made it than a signature over its bytes.
 * Shape    webhook_keys are the secrets of one hook, at most WEBHOOK_KEYS_MAX: while one is being
 *          replaced both sign, and either verifies. Three schemes:
 *            standard  Standard Webhooks 1.0: `webhook-signature: v1,BASE64 v1a,BASE64`, over
 *                      id "." timestamp "." body; v1 is HMAC-SHA256, v1a Ed25519.
 *            github    `X-Hub-Signature-256: sha256=HEX`, HMAC-SHA256 over the body. It tells no
 *                      time: only the id of the delivery, which is not signed, tells repeats.
 *            stripe    `Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]`, HMAC-SHA256 over t "." body.
 *          A body is given as pieces and is not copied, but for Ed25519, which takes it whole.
 *          Entries of another version are skipped; digests are compared in constant time.
 * Owner    Keys own copies of the secrets, cleaned when they end. Slices are borrowed for a call.
 * Errors   0 or -errno; *ret_why then is a static text without anything secret in it.
 * Thread   Keys may be used by several threads at once: signing and verifying change nothing. */
#ifndef BROKER_WIRE_WEBHOOK_SIGN_H
#define BROKER_WIRE_WEBHOOK_SIGN_H

#include "libbroker/base/slice.h"

enum {
    WEBHOOK_KEYS_MAX = 4,
    WEBHOOK_ENTRIES_MAX = 16,                      /* of one field that is verified */
    WEBHOOK_KEY_MAX = 512,                         /* bytes of a secret's text, of any kind */
    WEBHOOK_ID_MAX = 256,                          /* bytes of an id */
    WEBHOOK_SECRET_TEXT = 51,                      /* a secret we make, with its end */
    WEBHOOK_PUBLIC_TEXT = 50,                      /* a public key as text, with its end */
    WEBHOOK_SIGNATURE_MAX = 96 * WEBHOOK_KEYS_MAX, /* what webhook_sign() writes, with its end */
    WEBHOOK_TOLERANCE_S = 300,                     /* what the specifications recommend */
};

enum webhook_scheme { WEBHOOK_STANDARD, WEBHOOK_GITHUB, WEBHOOK_STRIPE };

struct webhook_key;

struct webhook_keys {
    struct webhook_key *key[WEBHOOK_KEYS_MAX]; /* the newest first, by habit */
    unsigned n;                                /* all zero: none yet */
};

/* Add a secret. For `standard`: `whsec_` and base64 of an HMAC key (or the base64 alone), `whsk_`
 * and base64 of an Ed25519 seed of 32 bytes (or of the 64 with the public key behind it), `whpk_`
 * and base64 of a public key, which verifies only. For the others the text itself, byte for byte,
 * is the HMAC key. -EINVAL: it is none; -ENOSPC: too many; -ENOMEM. */
int webhook_keys_add(struct webhook_keys *keys, enum webhook_scheme scheme, struct slice text,
                     const char **ret_why);

/* Release the keys; fine for none. `keys` is as empty as at first. */
void webhook_keys_fini(struct webhook_keys *keys);

/* Make a secret for `standard` (32 random bytes, `whsec_`...), with its end. -EIO: no random
 * source. */
int webhook_secret_make(char ret[WEBHOOK_SECRET_TEXT]);

/* The public half of key `i` as text (`whpk_`...), to be shown to who verifies; -ENOENT: it is a
 * shared secret, which has none. */
int webhook_public_key(const struct webhook_keys *keys, unsigned i, char ret[WEBHOOK_PUBLIC_TEXT]);

/* What a signature is over. */
struct webhook_content {
    struct slice id;          /* of the event: visible ASCII without '.'; `standard` only */
    int64_t time_s;           /* of this attempt, Unix seconds, not below 0 */
    const struct slice *body; /* in pieces, in their order */
    size_t body_n;            /* pieces */
};

/* Sign as `standard`: the text of `webhook-signature`, one entry for each key in their order, with
 * its end, into ret[]. Its length; -EINVAL: no id that may be signed, a time below 0, no keys or
 * one that cannot sign; -ENOMEM. */
int webhook_sign(const struct webhook_keys *keys, const struct webhook_content *c,
                 char ret[WEBHOOK_SIGNATURE_MAX]);

/* A request as it came: the values of its fields, empty for those that are missing. */
struct webhook_received {
    struct slice signature; /* webhook-signature, X-Hub-Signature-256 or Stripe-Signature */
    struct slice id, time;  /* webhook-id, webhook-timestamp; `standard` only */
    const struct slice *body;
    size_t body_n; /* pieces */
};

/* Verify a request: does an entry of its signature fit one of the keys, and is its time within
 * `tolerance_s` of `now_s` (Unix seconds)? Below 0: any time is.
 * 0; -EPROTO: a field is missing or malformed; -ETIME: too long ago or to come; -EACCES: no entry
 * fits; -ENOMEM. With all but 0 *ret_why says more. */
int webhook_verify(const struct webhook_keys *keys, enum webhook_scheme scheme,
                   const struct webhook_received *r, int64_t now_s, int64_t tolerance_s,
                   const char **ret_why);

#endif
