#include "libbroker/cli/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The length of the UTF-8 sequence at `p`, 0 if it is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t sequence(const unsigned char *p, size_t len)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        n = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4;
    else
        return 0;
    if (n > len)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return n;
}

bool cli_is_utf8(const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len;) {
        size_t n = sequence(p + i, len - i);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static const char hex[] = "0123456789abcdef";

/* A byte that a terminal must not see, as an escape of up to 4 bytes at `to`. */
static char *escape(char *to, unsigned char c)
{
    const char *at = memchr("\nn\tt\rr\\\\", c, 8);

    *to++ = '\\';
    if (at && (c < ' ' || c == '\\')) {
        *to++ = at[1];
        return to;
    }
    *to++ = 'x';
    *to++ = hex[c >> 4];
    *to++ = hex[c & 15];
    return to;
}

/* C1 control characters are U+0080 to U+009F: C2 80 to C2 9F. `n`: bytes of the character. */
static bool is_control(const unsigned char *p, size_t n)
{
    return *p < ' ' || *p == 0x7f || (n == 2 && *p == 0xc2 && p[1] < 0xa0);
}

/* Into `to`, which has room for four times as much. Returns its end. */
static char *plain(char *to, const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = sequence(p + i, len - i);

        if (n == 0 || is_control(p + i, n) || p[i] == '\\') {
            to = escape(to, p[i++]);
            if (n == 2)
                to = escape(to, p[i++]);
            continue;
        }
        memcpy(to, p + i, n);
        to += n;
        i += n;
    }
    return to;
}

int cli_put_plain(struct cli_out *o, const void *data, size_t len)
{
    char *start = cli_out_room(o, 4 * len + 1);

    if (!start)
        return -ENOMEM;
    o->end += (size_t)(plain(start, data, len) - start);
    return 0;
}

char *cli_plain(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    bool fit = true;
    char *to;

    for (size_t i = 0; i < len && fit;) {
        size_t n = sequence(p + i, len - i);

        fit = n && !is_control(p + i, n);
        i += n;
    }
    to = fit ? NULL : malloc(4 * len + 1);
    if (to)
        *plain(to, p, len) = '\0';
    return to;
}

int cli_put_hex(struct cli_out *o, const void *data, size_t len)
{
    const unsigned char *p = data;
    char *to = cli_out_room(o, 2 * len + 1);

    if (!to)
        return -ENOMEM;
    for (size_t i = 0; i < len; i++) {
        *to++ = hex[p[i] >> 4];
        *to++ = hex[p[i] & 15];
    }
    o->end += 2 * len;
    return 0;
}

int cli_put_base64(struct cli_out *o, const void *data, size_t len)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    char *to = cli_out_room(o, len / 3 * 4 + 5);

    if (!to)
        return -ENOMEM;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t three = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                         (left > 2 ? p[i + 2] : 0);

        to[0] = digit[three >> 18];
        to[1] = digit[three >> 12 & 63];
        to[2] = left > 1 ? digit[three >> 6 & 63] : '=';
        to[3] = left > 2 ? digit[three & 63] : '=';
        to += 4;
    }
    o->end += (len + 2) / 3 * 4;
    return 0;
}

/* What a digit stands for; -1: it is none. */
static int base64_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

bool cli_take_base64(const char *text, size_t len, uint8_t *to, size_t *ret_len)
{
    size_t pad = len && text[len - 1] == '=' ? 1 + (len > 1 && text[len - 2] == '=') : 0, n = 0;
    uint32_t bits = 0;

    if (len % 4)
        return false;
    for (size_t i = 0; i < len - pad; i++) {
        int value = base64_value(text[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4)
            to[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *ret_len = n;
    return true;
}

int cli_put_json(struct cli_out *o, const void *data, size_t len)
{
    static const char named[] = "\bb\ff\nn\rr\tt";
    const unsigned char *p = data;
    char *start = cli_out_room(o, 6 * len + 2), *to = start;

    if (!start)
        return -ENOMEM;
    *to++ = '"';
    for (size_t i = 0; i < len; i++) {
        const char *at;

        if (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0) { /* a terminal may heed C1, too */
            memcpy(to, "\\u00", 4);
            to[4] = hex[p[++i] >> 4];
            to[5] = hex[p[i] & 15];
            to += 6;
            continue;
        }
        if (p[i] >= ' ' && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f) {
            *to++ = (char)p[i];
            continue;
        }
        *to++ = '\\';
        at = p[i] < ' ' ? memchr(named, p[i], sizeof named - 1) : NULL;
        if (at) {
            *to++ = at[1];
        } else if (p[i] == '"' || p[i] == '\\') {
            *to++ = (char)p[i];
        } else {
            memcpy(to, "u00", 3);
            to[3] = hex[p[i] >> 4];
            to[4] = hex[p[i] & 15];
            to += 5;
        }
    }
    *to++ = '"';
    o->end += (size_t)(to - start);
    return 0;
}

/* ------------------------------------------------------------------------------ numbers --- */

const char *cli_size_text(uint64_t bytes, char *buf)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double n = (double)bytes;
    size_t u = 0;

    while (n >= 1024 && u + 1 < sizeof unit / sizeof unit[0]) {
        n /= 1024;
        u++;
    }
    snprintf(buf, CLI_NUMBER_MAX, u == 0 || n >= 100 ? "%.0f %s" : "%.1f %s", n, unit[u]);
    return buf;
}

const char *cli_count_text(uint64_t n, char *buf)
{
    char digits[CLI_NUMBER_MAX];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = buf;

    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

const char *cli_time_text(uint64_t ms, char *buf)
{
    unsigned long long s = ms / 1000;

    if (ms < 1000)
        snprintf(buf, CLI_NUMBER_MAX, "%llu ms", (unsigned long long)ms);
    else if (s < 60)
        snprintf(buf, CLI_NUMBER_MAX, "%.1f s", (double)ms / 1000);
    else if (s < 3600)
        snprintf(buf, CLI_NUMBER_MAX, "%llu min %llu s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, CLI_NUMBER_MAX, "%llu h %llu min", s / 3600, s / 60 % 60);
    else
        snprintf(buf, CLI_NUMBER_MAX, "%llu d %llu h", s / 86400, s / 3600 % 24);
    return buf;
}

const char *cli_latency_text(uint64_t ns, char *buf)
{
    if (ns < 1000)
        snprintf(buf, CLI_NUMBER_MAX, "%llu ns", (unsigned long long)ns);
    else if (ns < 1000000)
        snprintf(buf, CLI_NUMBER_MAX, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(buf, CLI_NUMBER_MAX, "%.2f ms", (double)ns / 1e6);
    else
        snprintf(buf, CLI_NUMBER_MAX, "%.2f s", (double)ns / 1e9);
    return buf;
}

/* ------------------------------------------------------------------------------- tables --- */

struct cli_table {
    size_t columns, cells, cap;
    char **cell; /* row by row, the headings first */
    bool right[16];
};

static void add(struct cli_table *t, char *text)
{
    if (text && t->cells == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 64;
        char **more = realloc(t->cell, cap * sizeof *more);

        if (!more) {
            free(text);
            return;
        }
        t->cell = more;
        t->cap = cap;
    }
    if (text)
        t->cell[t->cells++] = text;
}

struct cli_table *cli_table_new(const char *headings)
{
    struct cli_table *t = calloc(1, sizeof *t);

    while (t && t->columns < sizeof t->right / sizeof t->right[0]) {
        size_t len = strcspn(headings, "|");
        bool right = *headings == '>';

        t->right[t->columns++] = right;
        add(t, strndup(headings + right, len - right));
        if (!headings[len])
            break;
        headings += len + 1;
    }
    return t;
}

void cli_table_add(struct cli_table *t, const char *format, ...)
{
    va_list args;
    char *text;

    if (!t)
        return;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    add(t, text);
}

/* Columns of a terminal: code points. */
static int width(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void cli_table_print(struct cli_table *t, FILE *f)
{
    int wide[16] = {0};

    if (!t)
        return;
    for (size_t i = 0; i < t->cells; i++) {
        int w = width(t->cell[i]);

        if (w > wide[i % t->columns])
            wide[i % t->columns] = w;
    }
    for (size_t i = 0; i < t->cells; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        int pad = wide[column] - width(t->cell[i]);

        fprintf(f, "%*s%s%*s%s", t->right[column] ? pad : 0, "", t->cell[i],
                t->right[column] || last ? 0 : pad, "", last ? "\n" : "  ");
        free(t->cell[i]);
    }
    free(t->cell);
    free(t);
}
