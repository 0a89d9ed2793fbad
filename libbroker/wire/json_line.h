/* json_line.h - the JSON protocol's lines: where one ends, what it says, how a payload stands in
 * it.
 *
 * Why      One object a line, with `id`, `data` and perhaps `meta`, is easy to type and to read;
 * its payload need not become a tree on the way through. Owner    Everything borrows from the
 * bytes. Thread   Any; pure. */
#ifndef BROKER_WIRE_JSON_LINE_H
#define BROKER_WIRE_JSON_LINE_H

#include "libbroker/wire/json_text.h"
#include "libbroker/wire/status.h"

/* Where a stream of lines is. Zeroed memory is a start. */
struct json_framer {
    size_t looked;   /* bytes of the unfinished line known to have no line break */
    uint64_t line_n; /* lines taken */
};

/* Take the line that begins `in`: *ret is it without LF or CR LF, *ret_used the bytes it took.
 * WIRE_MORE: it is not all there; come again with the same bytes and more. WIRE_BAD: it is longer
 * than `max`. */
enum wire_status jline_frame(struct json_framer *f, size_t max, struct slice in, struct slice *ret,
                             size_t *ret_used);

struct json_message {
    struct slice id;   /* between its quotes, escapes as they came */
    struct slice data; /* a value, as it came */
    struct slice meta; /* an object, as it came; empty: none */
};

/* Read a line: an object with `id`, a string; `data`; perhaps `meta`, an object. -EPROTO. */
int jline_read(struct slice line, struct json_message *ret, struct json_fault *ret_fault);

/* How a payload stands in a line. */
enum jline_shape {
    JLINE_VALUE,  /* as it is, with line breaks as blanks */
    JLINE_STRING, /* text */
    JLINE_BASE64, /* the rest */
};

/* Is a content type JSON: application/json, text/json, or any that ends in `+json`? Parameters do
 * not count. */
bool jline_is_json(struct slice type);

/* The shape for a payload; `is_json`: its type says so. One that is no valid JSON then, or deeper
 * or with more members than a line may have, is base64: a string would look like a JSON string. */
enum jline_shape jline_shape(struct slice payload, bool is_json);

/* Bytes it takes in that shape, and writing it; returns the byte after. */
size_t jline_payload_size(enum jline_shape shape, struct slice payload);
uint8_t *jline_put_payload(uint8_t *p, enum jline_shape shape, struct slice payload);

#endif
