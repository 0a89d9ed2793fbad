/* reader.h - a settings file into struct settings, by libconfuse. Private to config.
 *
 * Errors   0; -EINVAL after telling every mistake it came to; -ENOMEM.
 * Thread   One at a time: libconfuse's scanner is static. */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include "config/settings.h"

/* Read `text` (terminated) over `settings`, which holds defaults and no listeners or policies
 * yet; `name` stands for the file in errors. On success listeners (perhaps none) and policies are
 * made; on failure what was made is left for settings_free(). */
int reader_read(const char *name, const char *text, struct settings *settings,
                settings_error_fn *error, void *ctx);

#endif
