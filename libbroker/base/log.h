/* log.h - the one log of a process: lines on stderr.
 *
 * Why      A daemon says once what happened, with who and what, where systemd, a terminal or a
 *          collector can read it.
 * Shape    A line is one write(2), so lines of threads do not mix. Three formats: plain (time,
 *          level, text), `<N>text` for systemd's journal, or a JSON object. Control characters
 *          and broken UTF-8 are written as \xHH: what a peer sent cannot forge a line. A line is
 *          at most LOG_LINE_MAX bytes and ends in "..." where it was cut.
 *          What machines look for are facts: a word for what happened and keys with values, which
 *          stand behind the text as `text | event=WORD key=value key="a value"`, and in JSON as
 *          members beside it.
 * State    The level, format and areas are process-wide: the log is the exception to "no globals".
 * Thread   Any, also while another changes the level. Nothing here blocks but the write itself. */
#ifndef BROKER_BASE_LOG_H
#define BROKER_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "libbroker/base/slice.h"

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO, LEVEL_DEBUG };

enum log_format {
    LOG_FORMAT_AUTO, /* priority under systemd (JOURNAL_STREAM or INVOCATION_ID set), else plain */
    LOG_FORMAT_PLAIN,
    LOG_FORMAT_PRIORITY,
    LOG_FORMAT_JSON,
};

enum { LOG_LINE_MAX = 2048 };

/* Set the format and read BROKERD_TRACE (comma-separated areas, "all" for every one). Until it is
 * called the log is plain at LEVEL_NOTICE. To be called again when the settings change. */
void log_setup(enum log_level level, enum log_format format);

/* Write to another descriptor than 2 (tests). */
void log_set_fd(int fd);

/* Would a line of that level be written? For callers that must gather facts first. */
bool log_enabled(enum log_level level);

/* Is tracing of that area on? Areas are the names of folders: "core", "doors", "net". */
bool log_traces(const char *area);

/* Write a line, printf-like, without a newline; use the macros below. errno is kept. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_trace_line(const char *area, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A fact of a line: a text, or a number where `text` is NULL. Left out if it is "" or 0. Keys are
 * names of the same things everywhere: queue, topic, service, client, peer, door, reason, count. */
struct log_fact {
    const char *key; /* a plain word, at most LOG_KEY_MAX bytes; not "time", "level", "text" */
    const char *text;
    uint64_t number;
};

enum { LOG_KEY_MAX = 32 };

/* Whether there is nothing to say. */
static inline bool log_fact_is_empty(const struct log_fact *f)
{
    return f->text ? *f->text == '\0' : f->number == 0;
}

/* Several of them, for log_event(). */
#define LOG_FACTS(...)                                                                             \
    (const struct log_fact[])                                                                      \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

/* Write a line with facts, ended by one without a key: something of the kind `event` happened. */
void log_event(enum log_level level, const char *event, const struct log_fact *facts,
               const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_error(...) log_line(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LEVEL_NOTICE, __VA_ARGS__)

/* These do not evaluate their arguments unless the line will be written. */
#define log_info(...)                                                                              \
    do {                                                                                           \
        if (log_enabled(LEVEL_INFO))                                                               \
            log_line(LEVEL_INFO, __VA_ARGS__);                                                     \
    } while (0)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LEVEL_DEBUG))                                                              \
            log_line(LEVEL_DEBUG, __VA_ARGS__);                                                    \
    } while (0)
#define log_trace(area, ...)                                                                       \
    do {                                                                                           \
        if (log_traces(area))                                                                      \
            log_trace_line(area, __VA_ARGS__);                                                     \
    } while (0)

/* "error", "warning".. and "auto", "plain".. as the settings write them; static text. */
const char *log_level_name(enum log_level level);
const char *log_format_name(enum log_format format);

/* The inverse; -EINVAL no such word, *ret untouched. */
int log_level_parse(struct slice word, enum log_level *ret_level);
int log_format_parse(struct slice word, enum log_format *ret_format);

/* Keeps a noisy message to `burst` lines each `per_ms`. Caller-owned, one per place and thread;
 * zero but for the first two fields: { .burst = 5, .per_ms = 1000 }. */
struct log_limit {
    uint32_t burst;
    int64_t per_ms;
    int64_t since_ms;    /* start of the current span */
    uint32_t passed;     /* lines let through in it */
    uint64_t suppressed; /* since one was last let through */
};

/* May a line be written now? If so *ret_suppressed says how many were not since the last that
 * was: say so in the line, as the fact `left_out`. `now_ms` is monotonic. */
bool log_limit_pass(struct log_limit *limit, int64_t now_ms, uint64_t *ret_suppressed);

#endif
