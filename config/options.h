/* options.h - the command line of brokerd.
 *
 * Why      main() should see what is wanted, not how it was spelt.
 * Owner    Pointers borrow from argv; options_fini() frees the list of URLs.
 * Thread   Main's, once: getopt has static state. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "config/settings.h"

/* What brokerd exits with (those of sysexits.h that interfaces name). */
enum exit_status {
    EXIT_STOPPED = 0,
    EXIT_FAILED = 1,
    EXIT_BAD_USAGE = 64,
    EXIT_STORE_UNREACHABLE = 69,
    EXIT_SYSTEM_ERROR = 71,
    EXIT_STORE_FAILED = 75,
    EXIT_NO_PERMISSION = 77,
    EXIT_BAD_CONFIG = 78,
};

struct options {
    const char *file;                    /* -c; NULL: not said */
    bool check;                          /* -t: check the settings, then exit */
    bool version;                        /* -V: say the version, then exit */
    bool help;                           /* -h: say the usage, then exit */
    struct settings_overrides overrides; /* -l, -w, -v */
};

/* Read the command line into *ret. On a mistake `err` gets a line for the user, without "brokerd:"
 * before it. 0; -EINVAL bad usage; -ENOMEM. Also after an error options_fini() is due. */
int options_parse(int argc, char *const *argv, struct options *ret, char *err, size_t err_size);

/* Free what options_parse() allocated. */
void options_fini(struct options *options);

/* Write the usage: what -h shows, and what bad usage is followed by. */
void options_usage(FILE *to);

#endif
