#include "libbroker/cli/format.h"

#include <errno.h>
#include <string.h>

#include "libbroker/cli/text.h"

int cli_format_raw(struct cli_out *o, const broker_message *m, void *user)
{
    size_t len = broker_message_size(m);
    const bool *newline = user;
    char *room = cli_out_room(o, len + 1);

    if (!room)
        return -ENOMEM;
    memcpy(room, broker_message_data(m, NULL), len);
    room[len] = '\n';
    o->end += len + *newline;
    return 0;
}

static int put_headers(struct cli_out *o, const broker_message *m)
{
    struct broker_header h;
    int r = 0;

    for (size_t i = 0; r == 0 && broker_message_header_at(m, i, &h); i++) {
        r = i ? cli_out_put(o, ",", 1) : cli_out_put(o, ",\"headers\":{", 12);
        if (r == 0)
            r = cli_put_json(o, h.name, strlen(h.name));
        if (r == 0)
            r = cli_out_put(o, ":", 1);
        if (r == 0)
            r = cli_put_json(o, h.value, strlen(h.value));
    }
    if (r == 0 && broker_message_header_at(m, 0, &h))
        r = cli_out_put(o, "}", 1);
    return r;
}

static int put_payload(struct cli_out *o, const broker_message *m)
{
    size_t len;
    const void *data = broker_message_data(m, &len);
    int r;

    if (cli_is_utf8(data, len)) {
        r = cli_out_put(o, "\"data\":", 7);
        return r < 0 ? r : cli_put_json(o, data, len);
    }
    r = cli_out_put(o, "\"base64\":\"", 10);
    if (r == 0)
        r = cli_put_base64(o, data, len);
    return r < 0 ? r : cli_out_put(o, "\"", 1);
}

int cli_put_message(struct cli_out *o, const broker_message *m)
{
    const char *type = broker_message_content_type(m);
    int r = put_payload(o, m);

    if (r == 0)
        r = cli_out_put(o, ",\"type\":", 8);
    if (r == 0)
        r = cli_put_json(o, type, strlen(type));
    return r < 0 ? r : put_headers(o, m);
}

int cli_parse_headers(struct cli *cli, const struct cli_list *list, struct broker_header *to)
{
    for (size_t i = 0; i < list->n; i++) {
        /* argv is ours to change: the text becomes two */
        char *key = (char *)(uintptr_t)list->item[i], *colon = strchr(key, ':');

        if (!colon || colon == key)
            return cli_usage(cli, "--header wants KEY:VALUE, not \"%s\"", key);
        if (*key == '$')
            return cli_usage(cli, "headers that begin with $ belong to the broker: \"%s\"", key);
        *colon = '\0';
        to[i] = (struct broker_header){key, colon + 1 + (colon[1] == ' ')};
    }
    return CLI_OK;
}
