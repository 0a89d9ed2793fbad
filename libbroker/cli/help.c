#include "libbroker/cli/help.h"

#include <string.h>

static void list(FILE *f, const struct cli_command *group)
{
    const struct cli_command *c;

    for (size_t i = 0; (c = cli_command_at(group, i)); i++)
        fprintf(f, "  %-12s %s\n", c->name, c->summary);
}

static void help_of_all(FILE *f)
{
    fputs("Usage: broker COMMAND [OPTIONS] [ARGUMENTS]\n"
          "Publish to, subscribe at and look into a brokerd.\n\nCommands:\n",
          f);
    list(f, NULL);
    fputs("\nOptions of every command:\n", f);
    cli_options_help(f, cli_common_options());
    fputs("\n`broker COMMAND --help` tells more. Data goes to stdout, everything else to stderr.\n"
          "Exit: 0 done, 1 failed, 2 usage, 3 unreachable, 4 not allowed, 5 timed out,\n"
          "6 messages were lost, 69 what is stored cannot be read.\n",
          f);
}

void cli_help(FILE *f, const struct cli *cli)
{
    const struct cli_command *c = cli->command;

    if (!c) {
        help_of_all(f);
        return;
    }
    fprintf(f, "Usage: %s%s%s%s\n%s.\n", cli->title, c->subs ? " COMMAND" : " [OPTIONS]",
            c->args ? " " : "", c->args ? c->args : "", c->summary);
    if (c->more)
        fprintf(f, "\n%s\n", c->more);
    if (c->subs) {
        fputs("\nCommands:\n", f);
        list(f, c);
        return;
    }
    if (c->options) {
        fputs("\nOptions:\n", f);
        cli_options_help(f, c->options);
    }
    fputs("\nOptions of every command:\n", f);
    cli_options_help(f, cli_common_options());
}

/* ------------------------------------------------------------------------- completion --- */

/* Told of each command that can be run, with the words that lead to it. */
typedef void visit_fn(FILE *f, const char *path, const struct cli_command *c);

static void visit(FILE *f, const struct cli_command *group, const char *path, visit_fn *fn)
{
    const struct cli_command *c;

    for (size_t i = 0; (c = cli_command_at(group, i)); i++) {
        char below[64];

        snprintf(below, sizeof below, "%s%s%s", path, *path ? " " : "", c->name);
        fn(f, below, c);
        if (c->subs)
            visit(f, c, below, fn);
    }
}

static void print_options(FILE *f, const struct cli_option *options)
{
    for (const struct cli_option *o = options; o && o->name; o++) {
        fprintf(f, " --%s", o->name);
        if (o->letter)
            fprintf(f, " -%c", o->letter);
    }
}

static void print_words(FILE *f, const struct cli_command *c)
{
    for (size_t i = 0; c->subs && c->subs[i].name; i++)
        fprintf(f, " %s", c->subs[i].name);
    for (size_t i = 0; c->words && c->words[i]; i++)
        fprintf(f, " %s", c->words[i]);
}

static void bash_case(FILE *f, const char *path, const struct cli_command *c)
{
    fprintf(f, "        \"%s\") words=\"", path);
    print_words(f, c);
    if (!c->subs) {
        print_options(f, c->options);
        print_options(f, cli_common_options());
    }
    fputs("\" ;;\n", f);
}

static void bash_values(FILE *f, const char *path, const struct cli_option *options)
{
    for (const struct cli_option *o = options; o && o->name; o++) {
        if (!o->words && strcmp(o->arg ? o->arg : "", "FILE") != 0)
            continue;
        fprintf(f, "        \"%s --%s\")", path, o->name);
        if (o->words) {
            if (o->kind == CLI_LIST) /* KEY=, and then its value */
                fputs(" compopt -o nospace;", f);
            fputs(" mapfile -t COMPREPLY < <(compgen -W \"", f);
            for (size_t i = 0; o->words[i]; i++)
                fprintf(f, "%s%s", i ? " " : "", o->words[i]);
            fputs("\" -- \"$word\"); return ;;\n", f);
        } else {
            fputs(" mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n", f);
        }
    }
}

static void bash_value_cases(FILE *f, const char *path, const struct cli_command *c)
{
    bash_values(f, path, c->options);
}

static void bash_path(FILE *f, const char *path, const struct cli_command *c)
{
    (void)c;
    fprintf(f, "        \"%s\") path=\"%s\" ;;\n", path, path);
}

void cli_complete_bash(FILE *f)
{
    const struct cli_command *c;

    fputs("# bash completion for broker, made by `broker completion bash`.\n"
          "_broker() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} path='' words='' i\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case \"$path ${COMP_WORDS[i]}\" in\n"
          "        *\" -\"*) break ;;\n"
          "        esac\n"
          "        case \"${path:+$path }${COMP_WORDS[i]}\" in\n",
          f);
    visit(f, NULL, "", bash_path);
    fputs("        esac\n"
          "    done\n"
          "    case \"$path ${COMP_WORDS[COMP_CWORD - 1]}\" in\n",
          f);
    visit(f, NULL, "", bash_value_cases);
    fputs("    esac\n"
          "    case \"$path\" in\n"
          "        \"\") words=\"",
          f);
    for (size_t i = 0; (c = cli_command_at(NULL, i)); i++)
        fprintf(f, " %s", c->name);
    fputs(" --help --version\" ;;\n", f);
    visit(f, NULL, "", bash_case);
    fputs("    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
          "}\n"
          "complete -F _broker broker\n",
          f);
}

/* A text inside '...[...]' of zsh's _arguments. */
static void zsh_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", f);
        else if (strchr("[]:\\", *text))
            fprintf(f, "\\%c", *text);
        else
            fputc(*text, f);
    }
}

static void zsh_one(FILE *f, const struct cli_option *o, const char *dashes, const char *name)
{
    fprintf(f, " \\\n            '%s%s%s[", o->kind == CLI_LIST ? "*" : "", dashes, name);
    zsh_text(f, o->help);
    fputc(']', f);
    if (o->arg) {
        fprintf(f, ":%s:", o->arg);
        if (o->words) {
            fputc('(', f);
            for (size_t i = 0; o->words[i]; i++)
                fprintf(f, "%s%s", i ? " " : "", o->words[i]);
            fputc(')', f);
        } else if (strcmp(o->arg, "FILE") == 0) {
            fputs("_files", f);
        }
    }
    fputc('\'', f);
}

static void zsh_options(FILE *f, const struct cli_option *options)
{
    for (const struct cli_option *o = options; o && o->name; o++) {
        const char letter[] = {o->letter, '\0'};

        zsh_one(f, o, "--", o->name);
        if (o->letter)
            zsh_one(f, o, "-", letter);
    }
}

static void zsh_case(FILE *f, const char *path, const struct cli_command *c)
{
    if (c->subs)
        return;
    fprintf(f, "    '%s')\n        _arguments -s", path);
    zsh_options(f, c->options);
    zsh_options(f, cli_common_options());
    if (c->words) {
        fputs(" \\\n            '1:what:(", f);
        for (size_t i = 0; c->words[i]; i++)
            fprintf(f, "%s%s", i ? " " : "", c->words[i]);
        fputs(")'", f);
    }
    fputs(" \\\n            '*:argument:' ;;\n", f);
}

static void zsh_describe(FILE *f, const char *path, const struct cli_command *group)
{
    const struct cli_command *c;

    fprintf(f, "    '%s')\n        local -a names=(", path);
    for (size_t i = 0; (c = cli_command_at(group, i)); i++) {
        fprintf(f, " \\\n            '%s:", c->name);
        zsh_text(f, c->summary);
        fputc('\'', f);
    }
    fputs(")\n        _describe command names ;;\n", f);
}

void cli_complete_zsh(FILE *f)
{
    const struct cli_command *c;

    fputs("#compdef broker\n"
          "# zsh completion for broker, made by `broker completion zsh`.\n"
          "_broker() {\n"
          "    local at=1 name=''\n"
          "    (( CURRENT > 2 )) && name=$words[2] && at=2\n",
          f);
    for (size_t i = 0; (c = cli_command_at(NULL, i)); i++) {
        if (c->subs)
            fprintf(f,
                    "    [[ $name == %s ]] && (( CURRENT > 3 )) && name+=\" $words[3]\" && at=3\n",
                    c->name);
    }
    fputs("    shift $(( at - 1 )) words\n"
          "    (( CURRENT -= at - 1 ))\n"
          "    case $name in\n",
          f);
    zsh_describe(f, "", NULL);
    for (size_t i = 0; (c = cli_command_at(NULL, i)); i++) {
        if (c->subs)
            zsh_describe(f, c->name, c);
    }
    visit(f, NULL, "", zsh_case);
    fputs("    esac\n"
          "}\n"
          "_broker \"$@\"\n",
          f);
}
