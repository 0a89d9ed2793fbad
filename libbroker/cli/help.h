/* help.h - --help and shell completion, both made from the tables of commands and options.
 * Thread   Any: no state. */
#ifndef BROKER_CLI_HELP_H
#define BROKER_CLI_HELP_H

#include <stdio.h>

#include "libbroker/cli/cli.h"

/* Print the help of cli->command; of all commands where that is NULL. */
void cli_help(FILE *f, const struct cli *cli);

/* Print a completion script for bash, or for zsh. */
void cli_complete_bash(FILE *f);
void cli_complete_zsh(FILE *f);

#endif
