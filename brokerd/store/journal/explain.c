#include "brokerd/store/journal/explain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { PLACES_TOLD = 3 };

/* Append to what is in `to`. */
__attribute__((format(printf, 3, 4))) static void add(char *to, size_t n, const char *format, ...)
{
    size_t at = strlen(to);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(to + at, n - at, format, ap);
    va_end(ap);
}

void explain_open(const char *path, int status, long pid, char *to, size_t n)
{
    if (status == -EBUSY && pid)
        (void)snprintf(to, n, "%s is in use by a broker (pid %ld)", path, pid);
    else if (status == -EBUSY)
        (void)snprintf(to, n, "%s is being read (broker store ..): try again when that is done",
                       path);
    else if (status == -ENOENT)
        (void)snprintf(
            to, n, "%s: no such directory (a broker makes it, but not the one it lies in)", path);
    else
        (void)snprintf(to, n, "%s: %s", path, strerror(-status));
}

void explain_damage(const struct damage *d, char *to, size_t n)
{
    if (d->missing) {
        (void)snprintf(to, n, "%010u.seg is missing", d->segment);
        return;
    }
    (void)snprintf(to, n, "%010u.seg, bytes %llu to %llu: ", d->segment,
                   (unsigned long long)d->from, (unsigned long long)d->to);
    if (d->batches)
        add(to, n, "%llu batch%s lost", (unsigned long long)d->batches,
            d->batches == 1 ? "" : "es");
    else
        add(to, n, "nothing lost");
}

static void explain_lost(const char *path, const struct recovery *r, char *to, size_t n)
{
    unsigned told = 0;
    char place[80];

    (void)snprintf(to, n, "%s is damaged: ", path);
    if (r->missing)
        add(to, n, "%llu file%s missing%s", (unsigned long long)r->missing,
            r->missing == 1 ? " is" : "s are", r->lost_batches ? ", " : " (");
    if (r->lost_batches)
        add(to, n, "%llu batch%s of confirmed messages lost (", (unsigned long long)r->lost_batches,
            r->lost_batches == 1 ? "" : "es");
    for (unsigned i = 0; i < r->damaged && i < DAMAGE_TOLD && told < PLACES_TOLD; i++) {
        if (!r->damage[i].batches && !r->damage[i].missing)
            continue;
        explain_damage(&r->damage[i], place, sizeof place);
        add(to, n, "%s%s", told++ ? "; " : "", place);
    }
    if (r->damaged > told)
        add(to, n, "; %llu places in all", (unsigned long long)r->damaged);
    add(to, n,
        "). Nothing has been changed. `broker store check %s` tells all of it, a copy of the "
        "directory may be worth having. To go on with what is left: accept-damage = true in "
        "section store \"journal\"; the damaged segments are kept in %s/damaged",
        path, path);
}

void explain_recovery(const char *path, int status, const struct recovery *r, char *to, size_t n)
{
    switch (status) {
    case -EUCLEAN:
        explain_lost(path, r, to, n);
        return;
    case -ENOTSUP:
        if (r->newer_kind) {
            (void)snprintf(to, n,
                           "%s/%010u.seg has a record of kind %u, this program knows up to %d: it "
                           "was written by a later one",
                           path, r->at, r->newer_kind, RECORD_KINDS);
            return;
        }
        (void)snprintf(to, n,
                       "%s/%010u.seg has format version %u, this program knows up to %d: it was "
                       "written by a later one",
                       path, r->at, r->version, FORMAT_VERSION);
        return;
    case -EXDEV:
        (void)snprintf(to, n,
                       "%s/%010u.seg is of another journal than the segments before it: files of "
                       "two journals have been mixed",
                       path, r->at);
        return;
    case -EPROTO:
        (void)snprintf(to, n,
                       "%s/%010u.seg has an intact batch, at byte %llu, that makes no sense: "
                       "please report this",
                       path, r->at, (unsigned long long)r->last_batch);
        return;
    case -ENOMEM:
        (void)snprintf(to, n, "%s: no memory for its index", path);
        return;
    default:
        (void)snprintf(to, n, "%s/%010u.seg: %s", path, r->at, strerror(-status));
    }
}
