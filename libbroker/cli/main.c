/* main.c - the command `broker`: finds the command asked for and calls it. The only place with
 * mutable state of the process: the count of signals, which a handler can reach no other way. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "libbroker/cli/cli.h"
#include "libbroker/cli/help.h"

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    (void)number;
    interrupts++;
}

/* Only there to interrupt a write that waits: see out.h. */
static void on_alarm(int number)
{
    (void)number;
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler}; /* no SA_RESTART: waits end */

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* SIGINT and SIGTERM come through only where the program waits, so that none is overlooked
 * between looking and waiting. */
static void take_signals(struct cli *cli)
{
    sigset_t stop;

    handle(SIGPIPE, SIG_IGN);
    handle(SIGALRM, on_alarm);
    handle(SIGINT, on_interrupt);
    handle(SIGTERM, on_interrupt);
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, &cli->waiting);
    sigdelset(&cli->waiting, SIGINT);
    sigdelset(&cli->waiting, SIGTERM);
    cli->interrupts = &interrupts;
}

static const struct cli_command *find(const struct cli_command *group, const char *name)
{
    const struct cli_command *c;

    for (size_t i = 0; (c = cli_command_at(group, i)); i++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

/* Walk down the groups: *argc and *argv move past the words used. Returns an exit code. */
static int choose(struct cli *cli, char *title, size_t size, int *argc, char ***argv)
{
    for (;;) {
        const char *word = *argc > 0 ? (*argv)[0] : NULL;
        const struct cli_command *c;
        size_t used = strlen(title);

        if (!word || word[0] == '-')
            return CLI_OK; /* the group itself: help */
        c = find(cli->command, word);
        if (!c)
            return cli_usage(cli, "there is no command \"%s\"", word);
        snprintf(title + used, size - used, " %s", c->name);
        cli->command = c;
        (*argc)--;
        (*argv)++;
        if (!c->subs)
            return CLI_OK;
    }
}

/* How many words in front of the command are options common to all, values included: other tools
 * have them there (`nats -s URL pub`). */
static int count_leading(int argc, char **argv)
{
    const struct cli_option *o;
    int n = 0;

    while (n < argc && argv[n][0] == '-' && argv[n][1]) {
        const char *word = argv[n];

        for (o = cli_common_options(); o->name; o++) {
            if (word[1] == '-' ? strcmp(word + 2, o->name) == 0 : word[1] == o->letter && !word[2])
                break;
        }
        if (word[1] == '-' && strchr(word, '='))
            n++;
        else if (!o->name || strcmp(o->name, "help") == 0)
            break;
        else
            n += o->kind == CLI_FLAG ? 1 : 2;
    }
    return n < argc ? n : 0;
}

/* No command, or only a group: --help and --version may follow, nothing else. */
static int without_command(struct cli *cli, int argc, char **argv)
{
    const char *word = argc > 0 ? argv[0] : NULL;

    if (word && (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)) {
        cli_help(stdout, cli);
        return CLI_OK;
    }
    if (word && (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)) {
        printf("broker %s\n", broker_version());
        return CLI_OK;
    }
    if (word)
        return cli_usage(cli, "no command behind \"%s\"", word);
    cli_help(stderr, cli);
    return CLI_USAGE;
}

static int check_arguments(const struct cli *cli)
{
    const struct cli_command *c = cli->command;

    if (cli->args_n < c->args_min)
        return cli_usage(cli, "wants %s", c->args);
    if (cli->args_n > c->args_max)
        return cli_usage(cli, "\"%s\" is one argument too many", cli->args[c->args_max]);
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *c = cli->command;
    void *options = calloc(1, c->options_size + 1);
    struct cli_target targets[] = {{c->options, options}, {cli_common_options(), cli}};
    char err[256];
    int r;

    if (!options)
        return cli_error(cli, "out of memory");
    r = cli_options_parse(targets, 2, argv, (size_t)argc, &cli->args_n, err, sizeof err);
    cli->args = argv;
    if (r < 0) {
        r = r == -ENOMEM ? cli_error(cli, "out of memory") : cli_usage(cli, "%s", err);
    } else if (cli->help) {
        cli_help(stdout, cli);
        r = CLI_OK;
    } else {
        r = check_arguments(cli);
        if (r == CLI_OK)
            r = c->run(cli, options);
    }
    free(options);
    free(cli->urls.item);
    return r;
}

/* Whoever started us may have closed stdin, stdout or stderr: without something in their place a
 * socket would get that number, and have our output written to it. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    char title[64] = "broker";
    struct cli cli = {.title = title};
    char **first;
    int r, leading;

    argc--;
    argv++;
    fill_standard_descriptors();
    take_signals(&cli);
    leading = count_leading(argc, argv);
    first = argv;
    argc -= leading;
    argv += leading;
    r = choose(&cli, title, sizeof title, &argc, &argv);
    /* They take the place of the command's words, right before what follows it. */
    argc += leading;
    argv -= leading;
    memmove(argv, first, (size_t)leading * sizeof *argv);
    if (r == CLI_OK)
        r = cli.command && cli.command->run ? run(&cli, argc, argv)
                                            : without_command(&cli, argc, argv);
    if (fflush(stdout) != 0 && errno != EPIPE && r == CLI_OK)
        r = cli_error(&cli, "stdout: %s", strerror(errno));
    return r;
}
