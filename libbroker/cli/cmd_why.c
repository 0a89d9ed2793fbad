/* cmd_why.c - what holds up a topic, queue or client. */
#include <string.h>

#include "libbroker/cli/json.h"
#include "libbroker/cli/link.h"
#include "libbroker/cli/text.h"

static void print(const json_t *why)
{
    const char *bottleneck = cli_json_text(why, "bottleneck");
    json_t *link;
    size_t i;

    json_array_foreach(json_object_get(why, "chain"), i, link)
    {
        const char *name = cli_json_text(link, "name");
        bool here = *bottleneck && strcmp(name, bottleneck) == 0;
        char since[CLI_NUMBER_MAX];

        printf("%s %s", here ? "=>" : "  ", cli_json_text(link, "text"));
        if (json_object_get(link, "since_ms"))
            printf(" (for %s)", cli_time_text(cli_json_number(link, "since_ms"), since));
        putchar('\n');
    }
    if (!*bottleneck)
        puts("   all flows: nothing holds it up");
}

static int run(struct cli *cli, void *options)
{
    json_t *why;
    int r = cli_ask(cli, "why", json_pack("{s:s}", "what", cli->args[0]), &why);

    (void)options;
    if (r != CLI_OK)
        return r;
    if (cli->json)
        cli_print_json(why);
    else if (json_is_null(json_object_get(why, "kind")))
        r = cli_error(cli, "the broker knows no topic, queue or client \"%s\"", cli->args[0]);
    else
        print(why);
    json_decref(why);
    return r;
}

const struct cli_command cli_why = {
    .name = "why",
    .args = "WHAT",
    .summary = "Name the bottleneck of a topic, queue or client",
    .more = "Follows the chain from WHAT to what holds it up, which is marked =>.",
    .args_min = 1,
    .args_max = 1,
    .run = run,
};
