/* format.h - messages as bytes for stdout, and headers as they are typed.
 *
 * Why      `sub` and the commands that call services write messages in the same ways.
 * Errors   0 or -ENOMEM; cli_parse_headers() answers an exit code.
 * Thread   Any: no state. */
#ifndef BROKER_CLI_FORMAT_H
#define BROKER_CLI_FORMAT_H

#include "broker.h"
#include "libbroker/cli/cli.h"
#include "libbroker/cli/out.h"

/* The payload as it is, and a newline behind it if `user`, a bool, says so. */
int cli_format_raw(struct cli_out *o, const broker_message *m, void *user);

/* Members of a JSON object: "data" or "base64", "type", "headers" if there are any. */
int cli_put_message(struct cli_out *o, const broker_message *m);

/* KEY:VALUE texts as headers in `to`, of as many places; the texts are cut in two. CLI_OK, or
 * CLI_USAGE. */
int cli_parse_headers(struct cli *cli, const struct cli_list *list, struct broker_header *to);

#endif
