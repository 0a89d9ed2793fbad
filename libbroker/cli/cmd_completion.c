#include <string.h>

#include "libbroker/cli/cli.h"
#include "libbroker/cli/help.h"

static int run(struct cli *cli, void *options)
{
    (void)options;
    if (strcmp(cli->args[0], "bash") == 0)
        cli_complete_bash(stdout);
    else if (strcmp(cli->args[0], "zsh") == 0)
        cli_complete_zsh(stdout);
    else
        return cli_usage(cli, "knows bash and zsh, not \"%s\"", cli->args[0]);
    return CLI_OK;
}

static const char *const shells[] = {"bash", "zsh", NULL};

const struct cli_command cli_completion = {
    .name = "completion",
    .args = "bash|zsh",
    .summary = "Print a script that completes this command in a shell",
    .more = "  bash: source <(broker completion bash)\n"
            "  zsh:  broker completion zsh > ~/.zfunc/_broker",
    .args_min = 1,
    .args_max = 1,
    .words = shells,
    .run = run,
};
