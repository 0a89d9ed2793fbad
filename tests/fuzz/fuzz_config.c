/* Any bytes as a settings file: it loads or is refused with at least one line, and whatever loads
 * can be compared with the defaults and with itself. */
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_error(void *ctx, const char *text)
{
    if (*text == '\0' || strlen(text) >= SETTINGS_ERROR_MAX + 256)
        abort();
    ++*(size_t *)ctx;
}

static void on_change(void *ctx, const struct settings_change *c)
{
    if (*c->what == '\0')
        abort();
    ++*(size_t *)ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings *s = NULL, *defaults = NULL;
    size_t errors = 0, changes = 0;
    int r = settings_load_text("fuzz", slice_of(data, size), NULL, on_error, &errors, &s);

    if (r < 0) {
        if (errors == 0)
            abort();
        return 0;
    }
    if (errors || settings_load_text("none", SLICE(""), NULL, on_error, &errors, &defaults) < 0)
        abort();
    if (settings_diff(s, defaults, on_change, &changes) != changes ||
        settings_diff(s, s, on_change, &changes) != 0)
        abort();
    settings_free(defaults);
    settings_free(s);
    return 0;
}
