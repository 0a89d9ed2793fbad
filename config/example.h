/* example.h - brokerd.conf.example, from the table of settings.
 *
 * Thread   Any. */
#ifndef CONFIG_EXAMPLE_H
#define CONFIG_EXAMPLE_H

#include <stdio.h>

/* Write the file: every key, commented out, with its default and what it is for. A line that
 * begins with `#` and no single blank is a setting: without that `#` it sets the default. 0, or
 * -EIO. */
int example_write(FILE *to);

#endif
