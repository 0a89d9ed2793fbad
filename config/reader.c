/* libconfuse does the syntax: sections, quotes, comments, lists, line numbers. To it every value is
 * a string; what a value may be is the table's affair. Four of its habits shape this file:
 *
 * - An error returned to it ends the parse. So a callback that finds a bad value writes it down
 *   and says that all is well; only what is wrong in syntax, or not a key, ends the reading.
 * - It takes the end of the file for the end of whatever section is open. So the file gets a last
 *   key that no file can have: where that one is unknown, there the file ended.
 * - It counts lines with comments more than once. So comments are blanked before it sees them.
 * - Its callbacks carry no context of ours. So there is one static pointer to the reader at work,
 *   which is no loss, for its scanner is static too.
 *
 * Values and sections are checked while it reads, when the line is known; if all was well, the
 * tree it leaves is turned into settings. */
#include "config/reader.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/store/redis/tls.h"
#include "config/table.h"

struct problem {
    int line; /* 0: of no line */
    char *text;
};

struct reader {
    const char *name, *text;
    struct settings *settings;
    struct problem *problems;
    size_t n_problems;
    int memory_line, max_message_line; /* where they were said; 0: they were not */
    int reassembly_line;
    int last_line; /* of the file; the added `}` stands on the next */
    bool reached_end;
    bool no_memory;
};

static _Thread_local struct reader *at_work;

static void note(struct reader *r, int line, const char *text)
{
    struct problem *more = reallocarray(r->problems, r->n_problems + 1, sizeof *more);
    char *copy = NULL;

    if (more)
        r->problems = more;
    if (!more || asprintf(&copy, "%s", text) < 0) {
        r->no_memory = true;
        return;
    }
    r->problems[r->n_problems++] = (struct problem){line, copy};
}

static const char *section_of(const cfg_t *cfg)
{
    return strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
}

/* ---- while it reads ---- */

/* The key that no file has: there are no control characters in one. (Who writes one as an escape in
 * quotes, for a key, ends the file there.) */
static const char end_key[] = "\001";

/* The line on which a section begins that ends on line `end`; libconfuse forgets it. The nearest
 * line above that has its title, else its end. */
static int opening_line(const char *text, const char *title, int end)
{
    int line = 1, found = end;
    char quoted[128]; /* the title may be a part of something in the section */
    bool is_quoted;

    (void)snprintf(quoted, sizeof quoted, "\"%s\"", title);
    is_quoted = strstr(text, quoted) != NULL;
    for (const char *next = text; next && line <= end; line++) {
        const char *eol = strchr(next, '\n');
        size_t n = eol ? (size_t)(eol - next) : strlen(next);

        if (memmem(next, n, is_quoted ? quoted : title, strlen(is_quoted ? quoted : title)))
            found = line;
        next = eol ? eol + 1 : NULL;
    }
    return found;
}

/* The file ended, at the top or inside of a section. */
static void on_end(cfg_t *cfg)
{
    const char *title = cfg_title(cfg) ? cfg_title(cfg) : cfg_name(cfg);
    char text[128];

    at_work->reached_end = true;
    if (*section_of(cfg) == '\0')
        return;
    (void)snprintf(text, sizeof text, "%s: expected } at the end of this section", cfg_name(cfg));
    note(at_work, opening_line(at_work->text, title, cfg->line), text);
}

/* libconfuse found one of its own errors; the parse ends after it. */
__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt,
                                                           va_list args)
{
    static const char unknown[] = "no such option '";
    char text[SETTINGS_ERROR_MAX - 128], line[SETTINGS_ERROR_MAX];
    const char *section = section_of(cfg), *like;
    char *word = text + sizeof unknown - 1;
    const struct setting *later;

    (void)vsnprintf(text, sizeof text, fmt, args);
    if (strncmp(text, unknown, sizeof unknown - 1) != 0) {
        (void)snprintf(line, sizeof line, "syntax: %s", text);
        note(at_work, cfg->line, line);
        return;
    }
    word[strcspn(word, "'")] = '\0';
    if (strcmp(word, end_key) == 0) {
        on_end(cfg);
        return;
    }
    later = *section ? setting_find(section, word) : setting_find(word, "");
    like = setting_closest(section, word);
    if (later)
        (void)snprintf(line, sizeof line, "%s: not supported by this version", word);
    else if (strcmp(section, "queue") == 0 && word[strspn(word, "0123456789")] == '\0')
        (void)snprintf(line, sizeof line,
                       "unknown key \"%.20s\" in section queue: a value with + stands in quotes, "
                       "\"redis+%.20s\"",
                       word, word);
    else
        (void)snprintf(line, sizeof line, "unknown key \"%s\"%s%s%s%s%s%s", word,
                       *section ? " in section " : "", section, like ? ", did you mean \"" : "",
                       like ? like : "", like ? "\"" : "", like ? "?" : "");
    note(at_work, cfg->line, line);
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    const struct setting *row = setting_find(section_of(cfg), opt->name);
    char err[POLICY_ERROR_MAX];

    *(const char **)result = value;
    if (row->title && strcmp(row->title, cfg_title(cfg)) != 0) {
        (void)snprintf(err, sizeof err, "unknown key \"%s\" in section %s \"%.80s\"", row->key,
                       row->section, cfg_title(cfg));
        note(at_work, cfg->line, err);
        return 0;
    }
    if (setting_check(row, slice_str(value), err, sizeof err) < 0) {
        note(at_work, cfg->line, err);
        return 0;
    }
    if (setting_is_scalar(row->type))
        setting_store(row, slice_str(value), at_work->settings);
    if (strcmp(row->key, "memory") == 0)
        at_work->memory_line = cfg->line;
    else if (strcmp(row->key, "max-message") == 0)
        at_work->max_message_line = cfg->line;
    else if (strcmp(row->key, "reassembly-max") == 0)
        at_work->reassembly_line = cfg->line;
    return 0;
}

static bool flag(cfg_t *sec, const char *key)
{
    const char *value = cfg_getstr(sec, key);

    return value && setting_bool(slice_str(value));
}

static int read_origins(cfg_t *sec, struct settings_listener *l)
{
    unsigned n = cfg_size(sec, "origins");

    l->origins = calloc(n + 1, sizeof *l->origins);
    if (!l->origins)
        return -ENOMEM;
    for (; l->n_origins < n; l->n_origins++) {
        l->origins[l->n_origins] = strdup(cfg_getnstr(sec, "origins", (unsigned)l->n_origins));
        if (!l->origins[l->n_origins])
            return -ENOMEM;
    }
    return 0;
}

static int read_listener(cfg_t *sec, struct settings_listener *ret, char *err, size_t err_size)
{
    int r = settings_listener_parse(slice_str(cfg_title(sec)), ret, err, err_size);

    if (r < 0)
        return r;
    ret->insecure = flag(sec, "insecure");
    ret->echo = flag(sec, "echo");
    ret->stomp_binary = flag(sec, "stomp-binary");
    if (cfg_getstr(sec, "manage"))
        ret->manage = flag(sec, "manage");
    for (unsigned i = 0; i < cfg_size(sec, "protocols"); i++) {
        const char *name = setting_protocol(slice_str(cfg_getnstr(sec, "protocols", i)));

        if (name && ret->n_protocols < SETTINGS_PROTOCOLS_MAX)
            ret->protocols[ret->n_protocols++] = name;
    }
    r = read_origins(sec, ret);
    if (r == 0)
        r = settings_listener_check(ret, err, err_size);
    if (r < 0)
        settings_listener_fini(ret);
    return r;
}

static int check_listener(cfg_t *sec, char *err, size_t err_size)
{
    struct settings_listener l;
    int r = read_listener(sec, &l, err, err_size);

    if (r == 0)
        settings_listener_fini(&l);
    return r;
}

static int check_rule(cfg_t *sec, char *err, size_t err_size)
{
    struct slice title = slice_str(cfg_title(sec));
    const char *why = name_filter_error(title);

    if (!why && strcmp(cfg_name(sec), "queue") == 0 && name_is_literal(title))
        why = name_queue_error(title, NAME_OF_CLIENT);
    if (!why)
        return 0;
    (void)snprintf(err, err_size, "%s, found \"%.120s\"", why, cfg_title(sec));
    return -EINVAL;
}

/* All that a key of a webhook's section says. */
static int read_webhook_key(cfg_t *sec, const char *key, struct webhook_spec *s, char *err,
                            size_t err_size)
{
    int r = 0;

    for (unsigned i = 0; i < cfg_size(sec, key) && r == 0; i++)
        r = spec_add(s, key, slice_str(cfg_getnstr(sec, key, i)), err, err_size);
    return r;
}

/* One reference in *ret. -EINVAL with an empty text: on_value() has said what is wrong. */
static int read_webhook(cfg_t *sec, struct webhook_spec **ret, char *err, size_t err_size)
{
    const char *why = spec_name_error(slice_str(cfg_title(sec))), *key;
    struct webhook_spec *s;
    int r = 0;

    err[0] = '\0';
    if (why) {
        (void)snprintf(err, err_size, "%s, found \"%.120s\"", why, cfg_title(sec));
        return -EINVAL;
    }
    s = spec_new(cfg_title(sec));
    if (!s)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && (key = spec_key_name(i)) != NULL; i++)
        r = read_webhook_key(sec, key, s, err, err_size);
    if (r == -EINVAL)
        err[0] = '\0';
    if (r == 0)
        r = spec_finish(s, err, err_size);
    if (r < 0) {
        spec_unref(s);
        return r;
    }
    *ret = s;
    return 0;
}

static int check_webhook(cfg_t *sec, char *err, size_t err_size)
{
    struct webhook_spec *s;
    int r = read_webhook(sec, &s, err, err_size);

    if (r == 0)
        spec_unref(s);
    return r;
}

/* The value of a key, or what the file has that it names: at most a secret. */
static int read_hook_file(const char *path, const char *key, struct inlet *h, char *err,
                          size_t err_size)
{
    char text[WEBHOOK_KEY_MAX + 3];
    FILE *f = fopen(path, "re");
    size_t n;
    int r;

    if (!f || ferror(f)) {
        (void)snprintf(err, err_size, "%s: cannot read %.200s: %s", key, path, strerror(errno));
        return -EINVAL;
    }
    n = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    r = inlet_set(h, key, slice_of(text, n), err, err_size);
    explicit_bzero(text, sizeof text);
    return r;
}

/* What is wrong with a key that is no secret, on_value() has said: then the text is empty. */
static int read_hook_key(cfg_t *sec, const char *key, struct inlet *h, char *err, size_t err_size)
{
    int r = 0;

    for (unsigned i = 0; i < cfg_size(sec, key) && r == 0; i++) {
        const char *value = cfg_getnstr(sec, key, i);

        r = inlet_key_is_file(key) && *value
                ? read_hook_file(value, key, h, err, err_size)
                : (*value ? inlet_set(h, key, slice_str(value), err, err_size) : 0);
    }
    if (r == -EINVAL && !inlet_key_is_secret(key))
        err[0] = '\0';
    return r == -ENOSPC ? -EINVAL : r;
}

static int read_hook(cfg_t *sec, struct inlet **ret, char *err, size_t err_size)
{
    const char *why = inlet_name_error(slice_str(cfg_title(sec))), *key;
    struct inlet *h;
    int r = 0;

    if (why) {
        (void)snprintf(err, err_size, "%s, found \"%.120s\"", why, cfg_title(sec));
        return -EINVAL;
    }
    h = inlet_new(slice_str(cfg_title(sec)));
    if (!h)
        return -ENOMEM;
    for (unsigned i = 0; r == 0 && (key = inlet_key_name(i)) != NULL; i++)
        r = read_hook_key(sec, key, h, err, err_size);
    if (r == 0)
        r = inlet_finish(h, err, err_size);
    if (r < 0)
        inlet_free(h);
    else
        *ret = h;
    return r;
}

static int check_hook(cfg_t *sec, char *err, size_t err_size)
{
    struct inlet *h;
    int r = read_hook(sec, &h, err, err_size);

    if (r == 0)
        inlet_free(h);
    return r;
}

/* What the password's file has, without the end of its line. */
static int read_password(struct settings_redis *s, char *err, size_t err_size)
{
    FILE *f = fopen(s->password_file, "re");
    size_t n = f ? fread(s->password, 1, sizeof s->password, f) : 0;
    bool failed = !f || ferror(f);
    const char *why = failed                    ? strerror(errno)
                      : n == sizeof s->password ? "too long for a password"
                                                : "there is no password in it";

    if (f)
        (void)fclose(f);
    while (n && n < sizeof s->password && strchr("\r\n", s->password[n - 1]))
        n--;
    if (!failed && n && n < sizeof s->password && !memchr(s->password, '\0', n)) {
        s->password[n] = '\0';
        return 0;
    }
    s->password[0] = '\0';
    (void)snprintf(err, err_size, "password-file: %.200s: %s", s->password_file, why);
    return -EINVAL;
}

/* What no key of it can tell alone. */
static const char *redis_error(const struct settings_redis *s)
{
    char err[REDIS_URL_ERROR_MAX];
    struct redis_url u;
    bool tls, password;

    if (redis_url_parse(slice_str(s->url), &u, err, sizeof err) < 0)
        return NULL; /* said when its key was read */
    tls = u.tls;
    password = *u.password != '\0';
    explicit_bzero(&u, sizeof u);
    if (password && *s->password_file)
        return "password-file: expected only one password, and the url has one";
    if (!tls && (*s->ca || *s->certificate || *s->key))
        return "url: expected rediss:// for redis://, since ca, certificate or key are for TLS";
    if (!*s->certificate != !*s->key)
        return "certificate: expected it together with key";
    return NULL;
}

/* Its files for TLS are there, are what they should be, and go together. */
static int check_tls(const struct settings_redis *s, char *err, size_t err_size)
{
    struct tls *t = NULL;
    int r = tls_new(*s->ca ? s->ca : NULL, *s->certificate ? s->certificate : NULL,
                    *s->key ? s->key : NULL, &t, err, err_size);

    tls_free(t);
    return r;
}

static int check_redis(struct settings_redis *s, char *err, size_t err_size)
{
    const char *why = redis_error(s);
    int r = 0;

    s->used = true;
    if (why) {
        (void)snprintf(err, err_size, "%s", why);
        return -EINVAL;
    }
    if (*s->password_file)
        r = read_password(s, err, err_size);
    if (r == 0 && (*s->ca || *s->certificate))
        r = check_tls(s, err, err_size);
    return r;
}

static int check_store(cfg_t *sec, char *err, size_t err_size)
{
    struct settings *s = at_work->settings;
    const char *why = NULL;

    if (strcmp(cfg_title(sec), "journal") == 0) {
        s->journal.used = true;
        if (s->journal.max_disk / SETTINGS_SEGMENTS_MIN < s->journal.segment)
            why = "max-disk: expected at least 8 segments";
    } else if (strcmp(cfg_title(sec), "redis") == 0) {
        return check_redis(&s->redis, err, err_size);
    } else {
        (void)snprintf(err, err_size, "expected \"journal\" or \"redis\", found \"%.80s\"",
                       cfg_title(sec));
        return -EINVAL;
    }
    if (why)
        (void)snprintf(err, err_size, "%s", why);
    return why ? -EINVAL : 0;
}

static int too_many(unsigned most, char *err, size_t err_size)
{
    (void)snprintf(err, err_size, "expected at most %u of them", most);
    return -EINVAL;
}

/* A section with a title has been read; it is the last of its kind. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    char err[SETTINGS_ERROR_MAX - 64], text[SETTINGS_ERROR_MAX];
    int r;

    if (strcmp(opt->name, "webhook") == 0)
        r = cfg_opt_size(opt) <= SETTINGS_WEBHOOKS_MAX
                ? check_webhook(sec, err, sizeof err)
                : too_many(SETTINGS_WEBHOOKS_MAX, err, sizeof err);
    else if (strcmp(opt->name, "hook") == 0)
        r = cfg_opt_size(opt) <= INLETS_MAX ? check_hook(sec, err, sizeof err)
                                            : too_many(INLETS_MAX, err, sizeof err);
    else if (strcmp(opt->name, "store") == 0)
        r = check_store(sec, err, sizeof err);
    else if (strcmp(opt->name, "listen") == 0)
        r = cfg_opt_size(opt) <= SETTINGS_LISTENERS_MAX
                ? check_listener(sec, err, sizeof err)
                : too_many(SETTINGS_LISTENERS_MAX, err, sizeof err);
    else
        r = check_rule(sec, err, sizeof err);
    if (r == -ENOMEM) {
        at_work->no_memory = true;
    } else if (r < 0 && *err) {
        (void)snprintf(text, sizeof text, "%s: %s", opt->name, err);
        note(at_work, opening_line(at_work->text, cfg_title(sec), cfg->line), text);
    }
    return 0;
}

/* ---- what it may read, from the table ---- */

enum { KEYS_MAX = 32, SECTIONS_MAX = 12 };

/* The options of one section into `opts`, which has room for KEYS_MAX, without their end. */
static size_t options_of(const char *section, cfg_opt_t *opts)
{
    const struct setting *row;
    size_t n = 0;

    for (size_t i = 0; (row = setting_at(i)) != NULL && n < KEYS_MAX; i++) {
        cfg_opt_t one = CFG_STR(row->key, NULL, CFGF_NODEFAULT);
        cfg_opt_t list = CFG_STR_LIST(row->key, NULL, CFGF_NODEFAULT);

        if (strcmp(row->section, section) != 0 || row->type == SETTING_LATER)
            continue;
        opts[n] = setting_is_list(row->type) ? list : one;
        opts[n++].parsecb = on_value;
    }
    return n;
}

static cfg_t *make_parser(void)
{
    cfg_opt_t top[KEYS_MAX + SECTIONS_MAX + 1], keys[SECTIONS_MAX][KEYS_MAX + 1];
    const cfg_opt_t end = CFG_END();
    size_t n = options_of("", top);
    const struct section *s;

    for (size_t i = 1; (s = section_at(i)) != NULL && i < SECTIONS_MAX; i++) {
        cfg_opt_t plain = CFG_SEC(s->name, keys[i], CFGF_NONE);
        cfg_opt_t titled = CFG_SEC(s->name, keys[i], CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);

        if (strcmp(s->name, section_at(i - 1)->name) == 0)
            continue; /* of another title: its keys are among those */
        keys[i][options_of(s->name, keys[i])] = end;
        titled.validcb = on_section;
        top[n++] = s->title ? titled : plain;
    }
    top[n] = end;
    return cfg_init(top, CFGF_NONE); /* copies them */
}

/* ---- the tree into settings ---- */

static int make_listeners(cfg_t *cfg, struct settings *s)
{
    unsigned n = cfg_size(cfg, "listen");
    char err[SETTINGS_ERROR_MAX];
    int r;

    if (n == 0)
        return 0;
    s->listeners = calloc(n, sizeof *s->listeners);
    if (!s->listeners)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        r = read_listener(cfg_getnsec(cfg, "listen", i), &s->listeners[i], err, sizeof err);
        if (r < 0)
            return r;
        s->n_listeners++;
    }
    return 0;
}

static struct queue_policy read_policy(cfg_t *sec, enum policy_kind kind)
{
    struct queue_policy policy = policy_default(kind);
    const char *key, *value;
    char err[POLICY_ERROR_MAX];

    for (size_t i = 0; (key = policy_key_name(kind, i)) != NULL; i++) {
        value = cfg_getstr(sec, key);
        if (value) /* checked by on_value() */
            (void)policy_set_key(&policy, kind, slice_str(key), slice_str(value), err, sizeof err);
    }
    return policy;
}

static int make_rule(cfg_t *sec, enum policy_kind kind, struct policy_set *set)
{
    unsigned n = kind == POLICY_QUEUE ? cfg_size(sec, "bind") : 0;
    struct queue_policy policy = read_policy(sec, kind);
    struct slice *binds = calloc(n + 1, sizeof *binds);
    int r;

    if (!binds)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++)
        binds[i] = slice_str(cfg_getnstr(sec, "bind", i));
    r = policy_set_add(set, kind, slice_str(cfg_title(sec)), &policy, binds, n);
    free(binds);
    return r;
}

static int make_policies(cfg_t *cfg, struct settings *s)
{
    static const struct {
        const char *section;
        enum policy_kind kind;
    } kinds[] = {{"queue", POLICY_QUEUE}, {"subscription", POLICY_SUBSCRIPTION}};
    struct policy_globals globals = {s->max_message, s->create_queues, s->call_wait_ms,
                                     s->limits.max_calls};
    int r = policy_set_new(&globals, &s->policies);

    for (size_t k = 0; r == 0 && k < sizeof kinds / sizeof *kinds; k++) {
        for (unsigned i = 0; r == 0 && i < cfg_size(cfg, kinds[k].section); i++)
            r = make_rule(cfg_getnsec(cfg, kinds[k].section, i), kinds[k].kind, s->policies);
    }
    return r;
}

static int make_webhooks(cfg_t *cfg, struct settings *s)
{
    unsigned n = cfg_size(cfg, "webhook");
    char err[SETTINGS_ERROR_MAX];
    int r = 0;

    s->webhooks = calloc(n + 1, sizeof *s->webhooks);
    if (!s->webhooks)
        return -ENOMEM;
    for (unsigned i = 0; i < n && r == 0; i++) {
        r = read_webhook(cfg_getnsec(cfg, "webhook", i), &s->webhooks[i], err, sizeof err);
        s->n_webhooks += r == 0;
    }
    return r;
}

static int make_hooks(cfg_t *cfg, struct settings *s)
{
    unsigned n = cfg_size(cfg, "hook");
    char err[SETTINGS_ERROR_MAX];
    struct inlet *h;
    int r = 0;

    s->inlets = inlets_new();
    if (!s->inlets)
        return -ENOMEM;
    for (unsigned i = 0; i < n && r == 0; i++) {
        r = read_hook(cfg_getnsec(cfg, "hook", i), &h, err, sizeof err);
        if (r == 0 && inlets_add(s->inlets, h) < 0) {
            inlet_free(h);
            r = -ENOMEM;
        }
    }
    return r;
}

/* ---- all of it ---- */

/* What no single key can tell. */
static void check_together(struct reader *r)
{
    const struct settings *s = r->settings;

    if (r->memory_line && r->max_message_line && s->max_message > s->memory)
        note(r, r->max_message_line, "max-message: expected at most memory, found more");
    if ((r->max_message_line || r->reassembly_line) && s->max_message > s->limits.reassembly_max)
        note(r, r->max_message_line ? r->max_message_line : r->reassembly_line,
             "max-message: expected at most limits reassembly-max, or no such message could be put "
             "together");
}

/* What it says under a key is left to the key's own check, if it is wrong: false. */
static bool read_queue_key(cfg_t *sec, const char *key, struct queue_policy *p)
{
    const char *value = cfg_getstr(sec, key);
    char text[SETTINGS_ERROR_MAX];

    return value && policy_set_key(p, POLICY_QUEUE, slice_str(key), slice_str(value), text,
                                   sizeof text) == 0;
}

/* What is acknowledged is retained by the journal, and by nothing else. */
static void check_retain(struct reader *r, cfg_t *sec)
{
    struct queue_policy p = policy_default(POLICY_QUEUE);
    char text[SETTINGS_ERROR_MAX];

    if (cfg_getstr(sec, "durable") && !read_queue_key(sec, "durable", &p))
        return;
    if (!read_queue_key(sec, "retain", &p) || !p.retain_ms || p.durable == DURABLE_JOURNAL)
        return;
    (void)snprintf(
        text, sizeof text,
        "queue \"%s\": retain needs durable = journal: of a queue in %s nothing is retained",
        cfg_title(sec), durable_name(p.durable));
    note(r, opening_line(r->text, cfg_title(sec), sec->line), text);
}

/* A queue that is to be kept where nothing keeps it would be kept nowhere. */
static void check_durable(struct reader *r, cfg_t *cfg)
{
    static const char *const examples[] = {"path = \"/var/lib/brokerd\"",
                                           "url = \"redis://127.0.0.1:6379\""};
    const struct settings *s = r->settings;

    for (unsigned i = 0; i < cfg_size(cfg, "queue"); i++) {
        cfg_t *sec = cfg_getnsec(cfg, "queue", i);
        const char *value = cfg_getstr(sec, "durable");
        struct queue_policy p = policy_default(POLICY_QUEUE);
        char text[SETTINGS_ERROR_MAX];

        check_retain(r, sec);
        if (!read_queue_key(sec, "durable", &p))
            continue;
        if (p.durable == DURABLE_MEMORY || (p.durable == DURABLE_JOURNAL && s->journal.used) ||
            (p.durable == DURABLE_REDIS && s->redis.used))
            continue;
        (void)snprintf(
            text, sizeof text, "queue \"%s\": durable = %s needs a section: store \"%s\" { %s }",
            cfg_title(sec), value, durable_name(p.durable), examples[p.durable == DURABLE_REDIS]);
        note(r, opening_line(r->text, cfg_title(sec), sec->line), text);
    }
}

static int by_line(const void *a, const void *b)
{
    const struct problem *x = a, *y = b;

    return (x->line > y->line) - (x->line < y->line);
}

static void tell(struct reader *r, settings_error_fn *error, void *ctx)
{
    char text[SETTINGS_ERROR_MAX + 256];

    if (r->n_problems > 1)
        qsort(r->problems, r->n_problems, sizeof *r->problems, by_line);
    for (size_t i = 0; i < r->n_problems; i++) {
        (void)snprintf(text, sizeof text, "%s:%d: %s", r->name, r->problems[i].line,
                       r->problems[i].text);
        error(ctx, text);
        free(r->problems[i].text);
    }
    free(r->problems);
}

/* Past the string or comment that `at` begins with, or the one character. */
static char *skip(char *at)
{
    char quote = *at, *end;

    if (quote == '"' || quote == '\'') {
        for (at++; *at && *at != quote; at++)
            at += at[0] == '\\' && at[1];
        return at + (*at != '\0');
    }
    if (at[0] == '#' || (at[0] == '/' && at[1] == '/'))
        return at + strcspn(at, "\n");
    if (at[0] != '/' || at[1] != '*')
        return at + 1;
    end = strstr(at + 2, "*/");
    return end ? end + 2 : at + strlen(at);
}

/* Put blanks in place of comments. Newlines stay, so that lines keep their numbers. */
static void blank_comments(char *text)
{
    for (char *at = text, *next; *at; at = next) {
        bool comment = *at == '#' || (at[0] == '/' && (at[1] == '/' || at[1] == '*'));

        next = skip(at);
        for (; comment && at < next; at++)
            *at = *at == '\n' ? '\n' : ' ';
    }
}

/* Let libconfuse read it all; what it found wrong is in `reader`. */
static void parse(struct reader *reader, cfg_t *cfg)
{
    char *text = NULL;

    if (asprintf(&text, "%s\n%s = 1", reader->text, end_key) < 0) {
        reader->no_memory = true;
        return;
    }
    blank_comments(text);
    at_work = reader;
    (void)cfg_set_error_function(cfg, on_error);
    (void)cfg_parse_buf(cfg, text);
    at_work = NULL;
    if (!reader->reached_end && reader->n_problems == 0)
        note(reader, cfg->line, "syntax: expected the end of a comment");
    free(text);
}

int reader_read(const char *name, const char *text, struct settings *settings,
                settings_error_fn *error, void *ctx)
{
    struct reader reader = {.name = name, .text = text, .settings = settings};
    cfg_t *cfg = make_parser();
    int r = 0;

    if (!cfg)
        return -ENOMEM;
    parse(&reader, cfg);
    check_together(&reader);
    if (reader.reached_end)
        check_durable(&reader, cfg);
    if (reader.n_problems)
        r = -EINVAL;
    tell(&reader, error, ctx);
    if (reader.no_memory)
        r = -ENOMEM;
    if (r == 0)
        r = make_listeners(cfg, settings);
    if (r == 0)
        r = make_policies(cfg, settings);
    if (r == 0)
        r = make_webhooks(cfg, settings);
    if (r == 0)
        r = make_hooks(cfg, settings);
    (void)cfg_free(cfg);
    return r;
}
