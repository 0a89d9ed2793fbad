/* options.h - the command line: one table of options is the parser, the help and the completion.
 *
 * Shape    An option is a row that says where in a struct its value goes. A command line is read
 *          by two tables: the common options and those of the command. Options and arguments may
 *          be mixed; `--` ends the options; `-` alone is an argument. Letters may stand together
 *          (-qn3), values follow behind `=`, a blank or, for letters, directly.
 * Owner    Values point into argv; lists are allocated and live until the program ends.
 * Errors   0 or -errno, with a text for the person.
 * Thread   Any: no state. */
#ifndef BROKER_CLI_OPTIONS_H
#define BROKER_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What an option takes, and the type of the field it fills. */
enum cli_kind {
    CLI_FLAG,  /* nothing; bool */
    CLI_TEXT,  /* any text; const char * */
    CLI_WORD,  /* one of `words`; const char * */
    CLI_LIST,  /* any text, may be repeated; struct cli_list */
    CLI_COUNT, /* a number, 1 or more; uint64_t */
    CLI_SIZE,  /* bytes: 0, 512, 64KiB; uint64_t, one more than the number (0: not given) */
    CLI_TIME,  /* 5, 500ms, 2m; plain numbers are seconds; uint64_t, milliseconds */
};

struct cli_list {
    const char **item;
    size_t n;
};

struct cli_option {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* or 0 */
    enum cli_kind kind;
    size_t offset;   /* of the field */
    const char *arg; /* what its value is called: "TIME"; NULL for a flag */
    const char *help;
    const char *const
        *words; /* CLI_WORD: ended by NULL. CLI_LIST: what completion offers, or NULL */
};

/* A table and the struct that it fills. */
struct cli_target {
    const struct cli_option *options; /* may be NULL */
    void *base;
};

/* Read argv[0..argc-1] by `n` tables. What is no option is moved to the front of argv, in order,
 * and its number put in *ret_args. -EINVAL a wrong command line, `err` says what; -ENOMEM. */
int cli_options_parse(const struct cli_target *targets, size_t n, char **argv, size_t argc,
                      size_t *ret_args, char *err, size_t err_size);

/* Print the help of a table, a line each option. */
void cli_options_help(FILE *f, const struct cli_option *options);

/* Read a count, a size or a time of the whole of `text`. -EINVAL, -ERANGE. */
int cli_parse_count(const char *text, uint64_t *ret);
int cli_parse_size(const char *text, uint64_t *ret_bytes);
int cli_parse_time(const char *text, uint64_t *ret_ms);

#endif
