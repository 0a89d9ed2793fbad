#include "config/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "config/table.h"

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},  {"listen", required_argument, NULL, 'l'},
    {"workers", required_argument, NULL, 'w'}, {"test", no_argument, NULL, 't'},
    {"verbose", no_argument, NULL, 'v'},       {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

void options_usage(FILE *to)
{
    (void)fputs(
        "Usage: brokerd [-c FILE] [-l URL]... [-w N] [-t] [-v] [-V] [-h]\n"
        "\n"
        "  -c, --config FILE  settings; without it " SETTINGS_FILE_DEFAULT " if that exists\n"
        "  -l, --listen URL   listen there instead of where the settings say; may be repeated\n"
        "                     (tcp://HOST:PORT, port 0 for any free one; unix:///PATH)\n"
        "  -w, --workers N    threads that serve\n"
        "  -t, --test         check the settings and exit\n"
        "  -v, --verbose      more log; twice for still more\n"
        "  -V, --version      say the version and exit\n"
        "  -h, --help         say this and exit\n"
        "\n"
        "Without any option brokerd listens on " SETTINGS_LISTEN_DEFAULT " and keeps everything\n"
        "in memory. It runs in the foreground and logs to stderr. SIGTERM drains and stops,\n"
        "SIGHUP reads the settings again, SIGUSR2 drains.\n",
        to);
}

static int add_listener(struct options *o, const char *url, char *err, size_t err_size)
{
    size_t n = o->overrides.n_listen_urls;
    struct settings_listener l;
    char why[SETTINGS_ERROR_MAX];
    const char **urls;
    int r = settings_listener_parse(slice_str(url), &l, why, sizeof why);

    if (r < 0) {
        (void)snprintf(err, err_size, "-l: %s", why);
        return r;
    }
    if (settings_listener_check(&l, why, sizeof why) < 0) {
        (void)snprintf(err, err_size,
                       "-l: expected an address of this host only (loopback or unix), found "
                       "\"%s\"; others need a listen section with insecure = true in the settings",
                       url);
        settings_listener_fini(&l);
        return -EINVAL;
    }
    settings_listener_fini(&l);
    if (n == SETTINGS_LISTENERS_MAX) {
        (void)snprintf(err, err_size, "-l: expected at most %d of them", SETTINGS_LISTENERS_MAX);
        return -EINVAL;
    }
    urls = reallocarray((void *)o->overrides.listen_urls, n + 1, sizeof *urls);
    if (!urls)
        return -ENOMEM;
    urls[n] = url;
    o->overrides.listen_urls = urls;
    o->overrides.n_listen_urls = n + 1;
    return 0;
}

static int set_workers(struct options *o, const char *text, char *err, size_t err_size)
{
    const struct setting *row = setting_find("", "workers");
    struct settings scratch = {0};
    char why[SETTINGS_ERROR_MAX];

    if (setting_check(row, slice_str(text), why, sizeof why) < 0) {
        (void)snprintf(err, err_size, "-w: %s", why);
        return -EINVAL;
    }
    setting_store(row, slice_str(text), &scratch);
    o->overrides.workers = scratch.workers;
    return 0;
}

static int bad_option(char *const *argv, int option, char *err, size_t err_size)
{
    const char *what = option == ':' ? "needs a value" : "unknown option";
    const char *word = argv[optind - 1];

    if (optopt && word[0] == '-' && word[1] == '-') /* a long one with a value too much */
        (void)snprintf(err, err_size, "%s: %s", word,
                       option == ':' ? "needs a value" : "takes no value");
    else if (optopt)
        (void)snprintf(err, err_size, "-%c: %s", optopt, what);
    else
        (void)snprintf(err, err_size, "%s: %s", word, what);
    return -EINVAL;
}

int options_parse(int argc, char *const *argv, struct options *ret, char *err, size_t err_size)
{
    int c, r = 0;

    *ret = (struct options){.file = NULL};
    optind = 0; /* glibc: start anew, also after an earlier call that ended early */
    opterr = 0;
    while (r == 0 && (c = getopt_long(argc, argv, ":c:l:w:tvVh", long_options, NULL)) != -1) {
        switch (c) {
        case 'c':
            ret->file = optarg;
            break;
        case 'l':
            r = add_listener(ret, optarg, err, err_size);
            break;
        case 'w':
            r = set_workers(ret, optarg, err, err_size);
            break;
        case 't':
            ret->check = true;
            break;
        case 'v':
            ret->overrides.verbose++;
            break;
        case 'V':
            ret->version = true;
            break;
        case 'h':
            ret->help = true;
            break;
        default:
            r = bad_option(argv, c, err, err_size);
            break;
        }
    }
    if (r == 0 && optind < argc) {
        (void)snprintf(err, err_size, "%s: unexpected argument", argv[optind]);
        r = -EINVAL;
    }
    return r;
}

void options_fini(struct options *options)
{
    free((void *)options->overrides.listen_urls); /* made by add_listener() */
    options->overrides.listen_urls = NULL;
    options->overrides.n_listen_urls = 0;
}
