#include "libbroker/cli/json.h"

#include <stdlib.h>
#include <string.h>

#include "libbroker/cli/text.h"

uint64_t cli_json_number(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));

    return n > 0 ? (uint64_t)n : 0;
}

const char *cli_json_shown(const json_t *value)
{
    const char *text = json_string_value(value);
    char *plain = text ? cli_plain(text, json_string_length(value)) : NULL;

    if (plain)
        (void)json_string_set((json_t *)(uintptr_t)value, plain);
    free(plain);
    return json_string_value(value);
}

const char *cli_json_text(const json_t *object, const char *key)
{
    const char *text = cli_json_shown(json_object_get(object, key));

    return text ? text : "";
}

void cli_json_reasons(FILE *f, const json_t *object)
{
    char number[CLI_NUMBER_MAX];
    const char *key, *comma = "";
    json_t *value;

    if (json_object_size(object) == 0)
        fputc('-', f);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        fprintf(f, "%s%s %s", comma, key,
                cli_count_text((uint64_t)json_integer_value(value), number));
        comma = ", ";
    }
}

void cli_json_counters(FILE *f, const json_t *counters, int indent)
{
    static const struct {
        const char *key, *label;
    } rows[] = {
        {"published", "published"},
        {"delivered", "delivered"},
        {"acked", "acked"},
        {"nacked", "nacked"},
        {"redelivered", "redelivered"},
        {"late", "late acks"},
        {"dead_lettered", "dead-lettered"},
        {"duplicates", "duplicates"},
        {"unroutable", "matched nothing"},
    };
    char number[CLI_NUMBER_MAX];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (json_object_get(counters, rows[i].key))
            fprintf(f, "%*s%-16s %s\n", indent, "", rows[i].label,
                    cli_count_text(cli_json_number(counters, rows[i].key), number));
    }
    fprintf(f, "%*s%-16s ", indent, "", "refused");
    cli_json_reasons(f, json_object_get(counters, "refused"));
    fprintf(f, "\n%*s%-16s ", indent, "", "lost");
    cli_json_reasons(f, json_object_get(counters, "lost"));
    fputc('\n', f);
}

const char *cli_json_queue_name(const json_t *queue, char *buf, size_t size)
{
    const char *name = cli_json_text(queue, "name"), *client = cli_json_text(queue, "client");

    if (*name)
        snprintf(buf, size, "%s", name);
    else
        snprintf(buf, size, "(%s%s%s)", cli_json_text(queue, "id"), *client ? " of " : "", client);
    return buf;
}
