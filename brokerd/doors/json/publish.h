/* publish.h - messages up: events, and `$publish`.
 *
 * Shape    All go through the connection's window; what may have to be said of each is noted in the
 *          order of asking (jpeer.asked).
 * Thread   The connection's worker. */
#ifndef BROKERD_DOORS_JSON_PUBLISH_H
#define BROKERD_DOORS_JSON_PUBLISH_H

#include "brokerd/doors/json/ask.h"

/* A line whose id is a topic. `topic`: its id, understood. */
int jpublish_event(struct jpeer *c, struct slice topic, const struct json_message *m,
                   struct block *block, struct refusal *ret_why);

/* `$publish`. */
int jpublish(struct jpeer *c, struct jask *a, struct block *block, struct refusal *ret_why);

/* Ready for the first. */
void jpublish_init(struct jpeer *c);

/* Forget what was asked; the window is over. */
void jpublish_fini(struct jpeer *c);

/* What the window calls. */
extern const struct window_ops jpublish_window;

/* A payload as it goes to the core: `data` (a value as it came) of the type that is said, or
 * base64. What had to be written anew is in *own, for the caller to free. */
struct jpayload {
    struct slice data;
    struct ctype type;
    uint8_t *own;
};

int jpayload_read(struct slice value, struct slice base64, bool has_type, struct slice type,
                  struct jpayload *ret, struct refusal *ret_why);

/* The message that members say: `data` (a value as it came), base64, type, headers and options.
 * Nothing must be left of them. To be freed also on failure; valid as long as `a`. */
struct jmessage {
    struct jpayload payload;
    struct msg_meta meta;
    uint8_t *left;
};

int jmessage_read(struct jask *a, struct slice data, struct jmessage *ret, struct refusal *ret_why);
void jmessage_free(struct jmessage *m);

#endif
