/* The dashboard: files that are part of the program, and the fields a browser is to have with them.
 *
 * They may run scripts and styles of the broker's own, talk to the broker and nobody else, and be
 * in no frame. A name that somebody else has chosen is text on this page, whatever it looks like.
 */
#include "brokerd/admin/internal.h"
#include "brokerd/admin/page_files.h"
#include "libbroker/base/headers.h"

/* clang-format off */
#define FILE(symbol, path, type) extern const uint8_t page_##symbol[], page_##symbol##_end[];
PAGE_FILES
#undef FILE

static const struct file {
    const char *path, *type;
    const uint8_t *from, *end;
} files[] = {
#define FILE(symbol, path, type) {path, type, page_##symbol, page_##symbol##_end},
    PAGE_FILES
#undef FILE
};
/* clang-format on */

static const struct {
    const char *name, *value;
} fields[] = {
    {"content-security-policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"x-content-type-options", "nosniff"},
    {"referrer-policy", "no-referrer"},
    {"cache-control", "no-store"},
    {"cross-origin-resource-policy", "same-origin"},
};

enum { FIELDS_N = sizeof fields / sizeof fields[0], FIELDS_MAX = 1024 };

static const struct file *find(const char *path)
{
    const size_t folder = sizeof "brokerd/admin/page/" - 1;

    if (!path)
        return &files[0];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path + folder, path) == 0)
            return &files[i];
    return NULL;
}

static struct slice encode_fields(uint8_t buf[FIELDS_MAX])
{
    uint8_t *end = buf;

    for (size_t i = 0; i < FIELDS_N; i++)
        end = headers_put(end, slice_str(fields[i].name), slice_str(fields[i].value));
    return slice_of(buf, (size_t)(end - buf));
}

void cmd_page(struct ask *a, struct desk *d)
{
    const struct file *f = find(request_text(a, "path"));
    uint8_t headers[FIELDS_MAX];

    if (!f) {
        ask_refuse(a, REASON_NOT_FOUND, "no such file of the dashboard");
        ask_refused(a, d);
        return;
    }
    ask_answer_with(a,
                    &(struct call_payload){.data = slice_of(f->from, (size_t)(f->end - f->from)),
                                           .type = {.id = CTYPE_NAMED, .name = slice_str(f->type)},
                                           .headers = encode_fields(headers)});
}
