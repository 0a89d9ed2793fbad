#include "config/example.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config/table.h"

enum { WIDTH = 96 };

/* `text` as comment lines that begin with `before` and are broken between words. */
static void write_text(FILE *to, const char *before, const char *text)
{
    while (*text) {
        size_t room = WIDTH - strlen(before), n = strlen(text);

        if (n > room) {
            for (n = room; n > 0 && text[n] != ' '; n--)
                ;
            if (n == 0)
                n = room; /* one word without end */
        }
        (void)fprintf(to, "%s%.*s\n", before, (int)n, text);
        text += n;
        text += *text == ' ';
    }
}

/* Quoted unless it is a number, a word or a list. */
static void write_value(FILE *to, const char *value)
{
    const char *digits = value + strspn(value, "0123456789");
    const char *word = value + strspn(value, "abcdefghijklmnopqrstuvwxyz-");
    const char *quote = *value == '{' || (*value && (*digits == '\0' || *word == '\0')) ? "" : "\"";

    (void)fprintf(to, "%s%s%s\n", quote, value, quote);
}

static void write_setting(FILE *to, const struct setting *row)
{
    const char *margin = *row->section ? "    " : "";
    char value[POLICY_ERROR_MAX], before[16], text[512];
    struct queue_policy policy;

    if (row->type == SETTING_POLICY) {
        enum policy_kind kind = setting_policy_kind(row->section);

        policy = policy_default(kind);
        (void)policy_get_key(&policy, kind, slice_str(row->key), value, sizeof value);
    } else {
        (void)snprintf(value, sizeof value, "%s", row->fallback);
    }
    (void)snprintf(before, sizeof before, "#%s%s", margin, *margin ? "# " : " ");
    (void)snprintf(text, sizeof text, "%s%s", row->text,
                   row->restart && strcmp(row->section, "listen") != 0 && !row->title
                       ? " A change takes a restart."
                       : "");
    write_text(to, before, text);
    (void)fprintf(to, "#%s%s = ", margin, row->key);
    write_value(to, value);
}

static void write_section(FILE *to, const struct section *section)
{
    const struct setting *row;
    bool first = true;

    if (*section->name) {
        write_text(to, "# ", section->text);
        if (section->title)
            (void)fprintf(to, "#%s \"%s\" {\n", section->name, section->title);
        else
            (void)fprintf(to, "#%s {\n", section->name);
    }
    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        if (strcmp(row->section, section->name) != 0 || row->type == SETTING_LATER ||
            (row->title && strcmp(row->title, section->title) != 0))
            continue;
        if (!first)
            (void)fprintf(to, *section->name ? "#\n" : "\n");
        write_setting(to, row);
        first = false;
    }
    if (*section->name)
        (void)fprintf(to, "#}\n");
}

int example_write(FILE *to)
{
    const struct section *section;

    write_text(to, "# ",
               "Settings of brokerd: every key with its default, commented out. Made from the "
               "table in config/table.c; `make brokerd.conf.example` makes it anew.");
    (void)fprintf(to, "#\n");
    write_text(to, "# ",
               "Sizes take B, KiB, MiB or GiB (or nothing: bytes); times ms, s, m, h or d. No "
               "limit is written unlimited, no end never; 0 is an error. A value with anything "
               "but letters, digits, dots and hyphens stands in quotes. `brokerd -t` checks the "
               "file, SIGHUP reads it again and says what needs a restart.");
    for (size_t i = 0; (section = section_at(i)) != NULL; i++) {
        (void)fprintf(to, "\n");
        write_section(to, section);
    }
    return ferror(to) ? -EIO : 0;
}
