/* commands.c - the list of commands; a new one is a file cmd_NAME.c and a line here. */
#include "libbroker/cli/cli.h"

static const struct cli_command *const commands[] = {
    &cli_pub,   &cli_sub,         &cli_request,   &cli_stream, &cli_channel, &cli_serve,
    &cli_queue, &cli_connections, &cli_consumers, &cli_kill,   &cli_config,  &cli_reload,
    &cli_drain, &cli_webhook,     &cli_bench,     &cli_top,    &cli_why,     &cli_ping,
    &cli_info,  &cli_events,      &cli_route,     &cli_trace,  &cli_store,   &cli_completion,
};

const struct cli_command *cli_command_at(const struct cli_command *group, size_t i)
{
    if (!group)
        return i < sizeof commands / sizeof commands[0] ? commands[i] : NULL;
    return group->subs && group->subs[i].name ? &group->subs[i] : NULL;
}
