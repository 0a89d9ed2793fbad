#include "libbroker/cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit sizes[] = {
    {"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0},
};
static const struct unit times[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static int parse_number(const char *text, const struct unit *unit, uint64_t *ret)
{
    uint64_t n = 0;
    const char *p = text;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
            return -ERANGE;
    }
    if (p == text)
        return -EINVAL;
    for (; unit->name; unit++) {
        if (strcmp(unit->name, p) != 0)
            continue;
        if (__builtin_mul_overflow(n, unit->factor, &n) || n > INT64_MAX)
            return -ERANGE;
        *ret = n;
        return 0;
    }
    return -EINVAL;
}

int cli_parse_count(const char *text, uint64_t *ret)
{
    return parse_number(text, no_units, ret);
}

int cli_parse_size(const char *text, uint64_t *ret_bytes)
{
    return parse_number(text, sizes, ret_bytes);
}

int cli_parse_time(const char *text, uint64_t *ret_ms)
{
    return parse_number(text, times, ret_ms);
}

/* What is wrong with a value, for the person. */
static int bad_value(const struct cli_option *o, const char *value, char *err, size_t size)
{
    static const char *const wanted[] = {
        [CLI_FLAG] = "no value",
        [CLI_TEXT] = "a text",
        [CLI_WORD] = "one of",
        [CLI_LIST] = "a text",
        [CLI_COUNT] = "a whole number of 1 or more",
        [CLI_SIZE] = "a size such as 512, 64KiB or 16MiB",
        [CLI_TIME] = "a time such as 5, 500ms or 2m, above 0",
    };
    size_t n = (size_t)snprintf(err, size, "--%s wants %s", o->name, wanted[o->kind]);

    for (size_t i = 0; o->kind == CLI_WORD && o->words[i] && n < size; i++)
        n += (size_t)snprintf(err + n, size - n, "%s %s", i ? "," : "", o->words[i]);
    if (n < size)
        snprintf(err + n, size - n, ", not \"%.60s\"", value);
    return -EINVAL;
}

static int append(struct cli_list *list, const char *value)
{
    const char **more = realloc(list->item, (list->n + 1) * sizeof *more);

    if (!more)
        return -ENOMEM;
    list->item = more;
    list->item[list->n++] = value;
    return 0;
}

static int set_word(const struct cli_option *o, const char **field, const char *value, char *err,
                    size_t size)
{
    for (size_t i = 0; o->words[i]; i++) {
        if (strcmp(o->words[i], value) == 0) {
            *field = o->words[i];
            return 0;
        }
    }
    return bad_value(o, value, err, size);
}

static int set_number(const struct cli_option *o, uint64_t *field, const char *value, char *err,
                      size_t size)
{
    uint64_t n;
    int r;

    if (o->kind == CLI_SIZE) {
        if (cli_parse_size(value, &n) < 0)
            return bad_value(o, value, err, size);
        *field = n + 1;
        return 0;
    }
    r = o->kind == CLI_TIME ? cli_parse_time(value, &n) : cli_parse_count(value, &n);
    if (r < 0 || n == 0)
        return bad_value(o, value, err, size);
    *field = n;
    return 0;
}

static int set(const struct cli_option *o, void *base, const char *value, char *err, size_t size)
{
    void *field = (char *)base + o->offset;

    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return 0;
    case CLI_TEXT:
        *(const char **)field = value;
        return 0;
    case CLI_WORD:
        return set_word(o, field, value, err, size);
    case CLI_LIST:
        return append(field, value);
    case CLI_COUNT:
    case CLI_SIZE:
    case CLI_TIME:
        return set_number(o, field, value, err, size);
    }
    return -EINVAL;
}

/* The row for a long name of `len` bytes, or for a letter where `name` is NULL. */
static const struct cli_option *find(const struct cli_target *targets, size_t n, const char *name,
                                     size_t len, char letter, void **ret_base)
{
    for (size_t t = 0; t < n; t++) {
        for (const struct cli_option *o = targets[t].options; o && o->name; o++) {
            bool is = name ? strlen(o->name) == len && memcmp(o->name, name, len) == 0
                           : o->letter == letter;

            if (is) {
                *ret_base = targets[t].base;
                return o;
            }
        }
    }
    return NULL;
}

/* One run over a command line. */
struct parser {
    const struct cli_target *targets;
    size_t targets_n;
    char **argv;
    size_t argc, at;
    char *err;
    size_t err_size;
};

/* The value of option `o`: `rest`, if there is any, else the next word. */
static int value_of(struct parser *p, const struct cli_option *o, void *base, const char *rest)
{
    if (!rest) {
        if (p->at >= p->argc) {
            snprintf(p->err, p->err_size, "--%s wants a value: %s", o->name, o->arg);
            return -EINVAL;
        }
        rest = p->argv[p->at++];
    }
    return set(o, base, rest, p->err, p->err_size);
}

static int parse_long(struct parser *p, const char *name)
{
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    void *base;
    const struct cli_option *o = find(p->targets, p->targets_n, name, len, 0, &base);

    if (!o) {
        snprintf(p->err, p->err_size, "there is no option --%.*s", (int)len, name);
        return -EINVAL;
    }
    if (o->kind != CLI_FLAG)
        return value_of(p, o, base, value);
    if (value) {
        snprintf(p->err, p->err_size, "--%s takes no value", o->name);
        return -EINVAL;
    }
    return set(o, base, NULL, p->err, p->err_size);
}

static int parse_letters(struct parser *p, const char *letters)
{
    for (; *letters; letters++) {
        void *base;
        const struct cli_option *o = find(p->targets, p->targets_n, NULL, 0, *letters, &base);
        int r;

        if (!o) {
            snprintf(p->err, p->err_size, "there is no option -%c", *letters);
            return -EINVAL;
        }
        if (o->kind != CLI_FLAG)
            return value_of(p, o, base, letters[1] ? letters + 1 : NULL);
        r = set(o, base, NULL, p->err, p->err_size);
        if (r < 0)
            return r;
    }
    return 0;
}

int cli_options_parse(const struct cli_target *targets, size_t n, char **argv, size_t argc,
                      size_t *ret_args, char *err, size_t err_size)
{
    struct parser p = {targets, n, argv, argc, 0, err, err_size};
    bool options = true;
    size_t args = 0;

    while (p.at < argc) {
        char *word = argv[p.at++];
        int r = 0;

        if (!options || word[0] != '-' || word[1] == '\0')
            argv[args++] = word;
        else if (strcmp(word, "--") == 0)
            options = false;
        else
            r = word[1] == '-' ? parse_long(&p, word + 2) : parse_letters(&p, word + 1);
        if (r < 0)
            return r;
    }
    *ret_args = args;
    return 0;
}

void cli_options_help(FILE *f, const struct cli_option *options)
{
    for (const struct cli_option *o = options; o && o->name; o++) {
        char left[64];

        snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        fprintf(f, "  %-26s %s\n", left, o->help);
    }
}
