#include "config/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/options.h"
#include "config/reader.h"
#include "config/table.h"

static struct settings *make_default(const char *file)
{
    struct settings *s = calloc(1, sizeof *s);
    const struct setting *row;

    if (!s)
        return NULL;
    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        if (setting_is_scalar(row->type))
            setting_store(row, slice_str(row->fallback), s);
    }
    if (file) {
        s->file = strdup(file);
        if (!s->file)
            return settings_free(s);
    }
    return s;
}

/* `auto`: the cores this process may run on, which a container may have cut down. */
static uint32_t count_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n < 1 ? 1 : n > SETTINGS_WORKERS_MAX ? SETTINGS_WORKERS_MAX : (uint32_t)n;
}

static void drop_listeners(struct settings *s)
{
    for (size_t i = 0; i < s->n_listeners; i++)
        settings_listener_fini(&s->listeners[i]);
    free(s->listeners);
    s->listeners = NULL;
    s->n_listeners = 0;
}

/* Listeners from URLs, in place of those there are. */
static int listen_on(struct settings *s, const char *const *urls, size_t n,
                     settings_error_fn *error, void *ctx)
{
    char err[SETTINGS_ERROR_MAX];
    int r;

    drop_listeners(s);
    s->listeners = calloc(n, sizeof *s->listeners);
    if (!s->listeners)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = settings_listener_parse(slice_str(urls[i]), &s->listeners[i], err, sizeof err);
        if (r == 0) {
            s->n_listeners++;
            r = settings_listener_check(&s->listeners[i], err, sizeof err);
        }
        if (r == -EINVAL)
            error(ctx, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int finish(struct settings *s, const struct settings_overrides *over,
                  settings_error_fn *error, void *ctx)
{
    static const char *const fallback[] = {SETTINGS_LISTEN_DEFAULT};

    if (over && over->workers)
        s->workers = over->workers;
    if (s->workers == 0)
        s->workers = count_cores();
    for (unsigned i = 0; over && i < over->verbose && s->log_level < LEVEL_DEBUG; i++)
        s->log_level++;
    if (over && over->n_listen_urls)
        return listen_on(s, over->listen_urls, over->n_listen_urls, error, ctx);
    return s->n_listeners ? 0 : listen_on(s, fallback, 1, error, ctx);
}

/* `file` is NULL where there is none; `text` is terminated. */
static int load(const char *file, const char *text, const struct settings_overrides *over,
                settings_error_fn *error, void *ctx, struct settings **ret)
{
    struct settings *s = make_default(file);
    int r;

    if (!s)
        return -ENOMEM;
    r = reader_read(file ? file : "defaults", text, s, error, ctx);
    if (r == 0)
        r = finish(s, over, error, ctx);
    if (r < 0) {
        settings_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

/* Text, as far as one character tells: the reader relies on there being no control characters,
 * UTF-8 is asked for where it matters. Returns the line of the first that is not, 0 for none. */
static int first_bad_line(struct slice text)
{
    int line = 1;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\n')
            line++;
        else if (text.p[i] < ' ' && text.p[i] != '\t' && text.p[i] != '\r')
            return line;
    }
    return 0;
}

int settings_load_text(const char *name, struct slice text, const struct settings_overrides *over,
                       settings_error_fn *error, void *ctx, struct settings **ret_settings)
{
    int r, line = first_bad_line(text);
    char err[SETTINGS_ERROR_MAX];
    char *copy;

    if (text.n > SETTINGS_FILE_MAX)
        (void)snprintf(err, sizeof err, "%s: expected at most 1MiB, found more", name);
    else if (line)
        (void)snprintf(err, sizeof err, "%s:%d: expected text, found a control character", name,
                       line);
    if (text.n > SETTINGS_FILE_MAX || line) {
        error(ctx, err);
        return -EINVAL;
    }
    copy = calloc(1, text.n + 1);
    if (!copy)
        return -ENOMEM;
    if (text.n)
        memcpy(copy, text.p, text.n);
    r = load(name, copy, over, error, ctx, ret_settings);
    free(copy);
    return r;
}

/* The whole file, at most one byte more than is allowed, so that settings_load_text() sees that. */
static int read_file(const char *path, struct slice *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    uint8_t *buf = malloc(SETTINGS_FILE_MAX + 1);
    size_t n = 0;
    ssize_t got = 1;
    int r = 0;

    if (fd < 0)
        r = -errno;
    else if (!buf)
        r = -ENOMEM;
    while (r == 0 && got > 0 && n <= SETTINGS_FILE_MAX) {
        got = read(fd, buf + n, SETTINGS_FILE_MAX + 1 - n);
        if (got > 0)
            n += (size_t)got;
        else if (got < 0 && errno != EINTR)
            r = -errno;
        else if (got < 0)
            got = 1;
    }
    if (fd >= 0)
        close(fd);
    if (r < 0)
        free(buf);
    else
        *ret = slice_of(buf, n);
    return r;
}

int settings_load(const char *path, const struct settings_overrides *over, settings_error_fn *error,
                  void *ctx, struct settings **ret_settings)
{
    const char *file = path ? path : SETTINGS_FILE_DEFAULT;
    char err[SETTINGS_ERROR_MAX];
    struct slice text = {NULL, 0};
    int r = read_file(file, &text);

    if (r == -ENOENT && !path)
        return load(NULL, "", over, error, ctx, ret_settings);
    if (r < 0) {
        (void)snprintf(err, sizeof err, "%s: cannot be read: %s", file, strerror(-r));
        error(ctx, err);
        return r;
    }
    r = settings_load_text(file, text, over, error, ctx, ret_settings);
    free((void *)text.p); /* ours, from read_file() */
    return r;
}

struct settings *settings_free(struct settings *settings)
{
    if (!settings)
        return NULL;
    drop_listeners(settings);
    for (size_t i = 0; i < settings->n_webhooks; i++)
        spec_unref(settings->webhooks[i]);
    free(settings->webhooks);
    policy_set_unref(settings->policies);
    inlets_unref(settings->inlets);
    free(settings->file);
    explicit_bzero(&settings->redis, sizeof settings->redis);
    free(settings);
    return NULL;
}

int settings_exit_status(int error)
{
    switch (-error) {
    case EACCES:
    case EPERM:
        return EXIT_NO_PERMISSION;
    case ENOMEM:
    case EIO:
    case EMFILE:
    case ENFILE:
        return EXIT_SYSTEM_ERROR;
    default: /* wrong, missing, a directory: the user's to mend */
        return EXIT_BAD_CONFIG;
    }
}
