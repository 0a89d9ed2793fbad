#include "libbroker/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libbroker/base/rune.h"

/* The state of the process. The areas are written once, before `tracing` says so. */
static atomic_int state_level = LEVEL_NOTICE;
static atomic_int state_format = LOG_FORMAT_PLAIN; /* never LOG_FORMAT_AUTO */
static atomic_int state_fd = STDERR_FILENO;
static atomic_bool tracing;
static char trace_areas[256]; /* as in BROKERD_TRACE */

static const char *const level_names[] = {
    [LEVEL_ERROR] = "error", [LEVEL_WARNING] = "warning", [LEVEL_NOTICE] = "notice",
    [LEVEL_INFO] = "info",   [LEVEL_DEBUG] = "debug",
};
static const char *const format_names[] = {
    [LOG_FORMAT_AUTO] = "auto",
    [LOG_FORMAT_PLAIN] = "plain",
    [LOG_FORMAT_PRIORITY] = "priority",
    [LOG_FORMAT_JSON] = "json",
};

/* syslog(3)'s numbers, which systemd reads between < and > */
static const int priorities[] = {
    [LEVEL_ERROR] = 3, [LEVEL_WARNING] = 4, [LEVEL_NOTICE] = 5, [LEVEL_INFO] = 6, [LEVEL_DEBUG] = 7,
};

enum { N_LEVELS = sizeof level_names / sizeof *level_names };
enum { N_FORMATS = sizeof format_names / sizeof *format_names };

/* A line being put together: `at` never passes `end`, which leaves room for the tail. */
struct line {
    char *at, *end;
    bool cut;
    bool quoted; /* within quotes, which must be closed */
    char bytes[LOG_LINE_MAX];
};

static const char cut_mark[] = "...";
enum { TAIL_MAX = sizeof cut_mark + sizeof "\"}\n" };

/* Of the text before facts, so that these have room. */
enum { TEXT_MAX = LOG_LINE_MAX / 2 };

static void put(struct line *line, const char *bytes, size_t n)
{
    if (line->cut || n > (size_t)(line->end - line->at)) {
        line->cut = true; /* whole pieces only: half an escape would say something else */
        return;
    }
    memcpy(line->at, bytes, n);
    line->at += n;
}

static void put_str(struct line *line, const char *s)
{
    put(line, s, strlen(s));
}

/* Text whose last byte is a quote that opens or closes. */
static void put_quote(struct line *line, const char *s)
{
    put_str(line, s);
    line->quoted ^= !line->cut;
}

static void put_hex(struct line *line, const char *escape, const uint8_t *p, size_t n)
{
    char buf[16];

    for (size_t i = 0; i < n; i++) {
        int len = snprintf(buf, sizeof buf, "%sx%02x", escape, p[i]);

        put(line, buf, (size_t)len);
    }
}

/* One character inside a JSON string. */
static void put_json_char(struct line *line, uint32_t c, const uint8_t *p, size_t n)
{
    char buf[16];

    if (c == '"' || c == '\\') {
        buf[0] = '\\';
        buf[1] = (char)c;
        put(line, buf, 2);
    } else if (rune_is_control(c)) {
        put(line, buf, (size_t)snprintf(buf, sizeof buf, "\\u%04x", (unsigned)c));
    } else {
        put(line, (const char *)p, n);
    }
}

/* `text` with what could forge or garble a line escaped. */
static void put_text(struct line *line, struct slice text, enum log_format format)
{
    uint32_t c = 0;

    for (size_t len; text.n; text = slice_from(text, len)) {
        len = rune_decode(text.p, text.n, &c);
        if (len == 0) {
            len = 1;
            put_hex(line, format == LOG_FORMAT_JSON ? "\\\\" : "\\", text.p, 1);
        } else if (format == LOG_FORMAT_JSON) {
            put_json_char(line, c, text.p, len);
        } else if (rune_is_control(c)) {
            put_hex(line, "\\", text.p, len);
        } else {
            put(line, (const char *)text.p, len);
        }
    }
}

static void put_time(struct line *line, enum log_format format)
{
    char date[32], stamp[48];
    struct timespec now;
    struct tm tm;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (format == LOG_FORMAT_JSON) {
        (void)gmtime_r(&now.tv_sec, &tm);
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    } else {
        (void)localtime_r(&now.tv_sec, &tm);
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    }
    (void)snprintf(stamp, sizeof stamp, "%s.%03d%s", date, (int)(now.tv_nsec / 1000000),
                   format == LOG_FORMAT_JSON ? "Z" : "");
    put_str(line, stamp);
}

/* What stands before the text. */
static void put_head(struct line *line, enum log_level level, const char *area,
                     enum log_format format)
{
    char priority[8];

    switch (format) {
    case LOG_FORMAT_AUTO: /* never stored */
    case LOG_FORMAT_PLAIN:
        put_time(line, format);
        put_str(line, " ");
        put_str(line, level_names[level]);
        put_str(line, ": ");
        break;
    case LOG_FORMAT_PRIORITY:
        (void)snprintf(priority, sizeof priority, "<%d>", priorities[level]);
        put_str(line, priority);
        break;
    case LOG_FORMAT_JSON:
        put_str(line, "{\"time\":\"");
        put_time(line, format);
        put_str(line, "\",\"level\":\"");
        put_str(line, level_names[level]);
        if (area) {
            put_str(line, "\",\"area\":\"");
            put_str(line, area);
        }
        put_quote(line, "\",\"text\":\"");
        return;
    }
    if (area) {
        put_str(line, area);
        put_str(line, ": ");
    }
}

/* One write for the whole line. A descriptor that takes no more (EAGAIN, a closed pipe) loses it:
 * there is nowhere to complain, and the daemon must not stand still for its log. */
static void write_line(const char *bytes, size_t n)
{
    int fd = atomic_load_explicit(&state_fd, memory_order_relaxed);

    while (n > 0) {
        ssize_t done = write(fd, bytes, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        bytes += done;
        n -= (size_t)done;
    }
}

static void line_begin(struct line *line)
{
    line->at = line->bytes;
    line->end = line->bytes + sizeof line->bytes - TAIL_MAX;
    line->cut = line->quoted = false;
}

static void line_end(struct line *line, enum log_format format)
{
    line->end = line->bytes + sizeof line->bytes;
    if (line->cut) {
        line->cut = false;
        if (line->quoted || format != LOG_FORMAT_JSON)
            put_str(line, cut_mark);
    }
    if (line->quoted)
        put_quote(line, "\"");
    put_str(line, format == LOG_FORMAT_JSON ? "}\n" : "\n");
    write_line(line->bytes, (size_t)(line->at - line->bytes));
}

static enum log_format format_now(void)
{
    return (enum log_format)atomic_load_explicit(&state_format, memory_order_relaxed);
}

__attribute__((format(printf, 3, 0))) static void say(enum log_level level, const char *area,
                                                      const char *fmt, va_list args)
{
    enum log_format format = format_now();
    char text[LOG_LINE_MAX];
    struct line line;
    int saved = errno; /* for %m, and for the caller */
    int n = vsnprintf(text, sizeof text, fmt, args);

    line_begin(&line);
    put_head(&line, level, area, format);
    /* What did not fit into `text` cannot fit into the line either: it is cut there, with the
     * mark, and half a character at the end of `text` is never reached. */
    put_text(&line, slice_of(text, n < 0 ? 0 : strlen(text)), format);
    line_end(&line, format);
    errno = saved;
}

/* ------------------------------------------------------------------------------------- facts */

/* The length of a text that may have been cut within a character, without that one. */
static size_t whole_characters(const char *text)
{
    size_t n = strlen(text), from = n;

    while (from && n - from < 3 && ((uint8_t)text[from - 1] & 0xc0) == 0x80)
        from--;
    if (from && (uint8_t)text[from - 1] >= 0xc0) {
        uint32_t c;

        if (rune_decode((const uint8_t *)text + from - 1, n - from + 1, &c) == 0)
            return from - 1;
    }
    return n;
}

/* Whether a value stands for itself, without quotes: a reader splits at blanks. */
static bool is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == '=' || *p == 0x7f ||
            (unsigned char)*p >= 0x80)
            return false;
    return true;
}

static void put_fact(struct line *line, const struct log_fact *f, enum log_format format)
{
    bool is_json = format == LOG_FORMAT_JSON;
    char buf[LOG_KEY_MAX + 32];

    if (log_fact_is_empty(f))
        return;
    if (!f->text) {
        snprintf(buf, sizeof buf, is_json ? ",\"%.*s\":%llu" : " %.*s=%llu", LOG_KEY_MAX, f->key,
                 (unsigned long long)f->number);
        put_str(line, buf);
        return;
    }
    if (!is_json && is_plain(f->text)) {
        snprintf(buf, sizeof buf, " %.*s=", LOG_KEY_MAX, f->key);
        put_str(line, buf);
        put_str(line, f->text);
        return;
    }
    snprintf(buf, sizeof buf, is_json ? ",\"%.*s\":\"" : " %.*s=\"", LOG_KEY_MAX, f->key);
    put_quote(line, buf);
    put_text(line, slice_str(f->text), LOG_FORMAT_JSON);
    put_quote(line, "\"");
}

void log_event(enum log_level level, const char *event, const struct log_fact *facts,
               const char *fmt, ...)
{
    const struct log_fact word = {"event", event, 0};
    enum log_format format = format_now();
    int saved = errno; /* for %m, and for the caller */
    char text[TEXT_MAX];
    struct line line;
    va_list args;
    int n;

    if (!log_enabled(level))
        return;
    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    line_begin(&line);
    put_head(&line, level, NULL, format);
    put_text(&line, slice_of(text, n < 0 ? 0 : whole_characters(text)), format);
    if (n >= TEXT_MAX)
        put_str(&line, cut_mark);
    if (format == LOG_FORMAT_JSON)
        put_quote(&line, "\"");
    else
        put_str(&line, " |");
    put_fact(&line, &word, format);
    for (; facts->key; facts++)
        put_fact(&line, facts, format);
    line_end(&line, format);
    errno = saved;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, fmt);
    say(level, NULL, fmt, args);
    va_end(args);
}

void log_trace_line(const char *area, const char *fmt, ...)
{
    va_list args;

    if (!log_traces(area))
        return;
    va_start(args, fmt);
    say(LEVEL_DEBUG, area, fmt, args);
    va_end(args);
}

void log_setup(enum log_level level, enum log_format format)
{
    const char *areas = getenv("BROKERD_TRACE");

    if (format == LOG_FORMAT_AUTO)
        format = getenv("JOURNAL_STREAM") || getenv("INVOCATION_ID") ? LOG_FORMAT_PRIORITY
                                                                     : LOG_FORMAT_PLAIN;
    atomic_store_explicit(&state_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&state_format, (int)format, memory_order_relaxed);
    /* Only once: threads read the areas without a lock. */
    if (areas && *areas && !atomic_load_explicit(&tracing, memory_order_relaxed)) {
        (void)snprintf(trace_areas, sizeof trace_areas, "%s", areas);
        atomic_store_explicit(&tracing, true, memory_order_release);
    }
}

void log_set_fd(int fd)
{
    atomic_store_explicit(&state_fd, fd, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&state_level, memory_order_relaxed);
}

bool log_traces(const char *area)
{
    size_t n = strlen(area);

    if (!atomic_load_explicit(&tracing, memory_order_acquire))
        return false;
    for (const char *at = trace_areas; *at;) {
        size_t len = strcspn(at, ",");

        if ((len == n && memcmp(at, area, n) == 0) || (len == 3 && memcmp(at, "all", 3) == 0))
            return true;
        at += len;
        at += *at == ',';
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

const char *log_format_name(enum log_format format)
{
    return format_names[format];
}

int log_level_parse(struct slice word, enum log_level *ret_level)
{
    for (int i = 0; i < N_LEVELS; i++) {
        if (slice_eq(word, slice_str(level_names[i]))) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

int log_format_parse(struct slice word, enum log_format *ret_format)
{
    for (int i = 0; i < N_FORMATS; i++) {
        if (slice_eq(word, slice_str(format_names[i]))) {
            *ret_format = (enum log_format)i;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_limit_pass(struct log_limit *limit, int64_t now_ms, uint64_t *ret_suppressed)
{
    if (now_ms - limit->since_ms >= limit->per_ms) {
        limit->since_ms = now_ms;
        limit->passed = 0;
    }
    if (limit->passed >= limit->burst) {
        limit->suppressed++;
        return false;
    }
    limit->passed++;
    *ret_suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
