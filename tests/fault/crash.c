/* crash: what a disk may hold after a power failure at any instant of a trace, and whether the
 * broker would still have kept its word.
 *
 *   crash -t TRACE [-n STATES] [-s SEED] [-d DIR] [-r SHIM] [-v]
 *
 * TRACE (trace.h) is of a broker and the auditor. For each of STATES states (states.h) a folder is
 * filled, the journal opened as a start does, and what it has is compared with the trace:
 *
 *   lost      confirmed before the power went, not acked by then, and not there
 *   phantom   there, and never sent
 *   corrupt   there, and not as it was sent
 *   twice     there twice
 *   refused   the journal did not open: a crash is no damage
 *   unstable  opened once more it is not the same
 *
 * -r   opening the journal is itself traced (SHIM is the shared object) in every eighth state, and
 *      the power goes again at any instant of that
 *
 * Prints one line of JSON. Exit 0: no violation; 1: some, the first of them told on stderr, with
 * the seed that makes it again (-n 1 -s SEED); 2: nothing can be said. */
#define _GNU_SOURCE
#include "brokerd/store/journal/files.h"
#include "brokerd/store/journal/journal.h"
#include "tests/fault/states.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PUBLISHERS = 16, TOLD = 5, AGAIN = 8, AGAIN_EVERY = 8 };
enum { ISSUED = 1, CONFIRMED = 2, ACKED = 4, THERE = 8 };

/* By publisher and number: what is known of a message. */
struct book {
    uint8_t *state;
    size_t n;
};

static struct {
    const char *trace, *dir, *shim;
    uint64_t states, seed;
    bool loud;
} want = {.states = 1000, .seed = 1, .dir = "/dev/shm"};

static struct {
    uint64_t states, torn_states, again, lost, phantom, corrupt, twice, refused, unstable;
    uint64_t messages; /* found in all states */
} found;

static struct trace trace;
static char place[PATH_MAX], second[PATH_MAX], second_trace[PATH_MAX];

static void die(const char *what, int error)
{
    fprintf(stderr, "crash: %s: %s\n", what, strerror(-error));
    exit(2);
}

static uint64_t violations(void)
{
    return found.lost + found.phantom + found.corrupt + found.twice + found.refused +
           found.unstable;
}

/* Count a violation, tell of the first few. */
static void violation(uint64_t *counter, const struct state *s, const char *what, const char *more)
{
    if (violations() < TOLD)
        fprintf(stderr,
                "crash: %s: %s (seed %" PRIu64 ", after %zu of %zu entries, %zu writes not synced, "
                "%zu of them there, %zu torn)\n",
                what, more, s->seed, s->cut, trace.n, s->unsynced, s->kept, s->torn);
    ++*counter;
}

/* ------------------------------------------------------------------------------- the books */

/* The publisher and number that bytes begin with; false: they are none of ours. */
static bool parse_id(const uint8_t *p, size_t n, unsigned *ret_p, uint64_t *ret_seq)
{
    char text[48] = "";

    memcpy(text, p, n < sizeof text - 1 ? n : sizeof text - 1);
    return sscanf(text, "%u %" SCNu64, ret_p, ret_seq) == 2 && *ret_p < PUBLISHERS;
}

static uint8_t *state_of(struct book *books, unsigned publisher, uint64_t seq)
{
    struct book *b = &books[publisher];

    if (seq >= b->n) {
        size_t n = seq + seq / 2 + 1024;

        b->state = realloc(b->state, n);
        if (!b->state)
            die("memory", -ENOMEM);
        memset(b->state + b->n, 0, n - b->n);
        b->n = n;
    }
    return &b->state[seq];
}

/* What clients had been told, and had said, before the power went. */
static void fill_books(struct book *books, size_t cut)
{
    for (size_t i = 0; i < cut; i++) {
        const struct trace_entry *e = &trace.entry[i];
        uint8_t flag = e->r.kind == TRACE_ISSUED      ? ISSUED
                       : e->r.kind == TRACE_CONFIRMED ? CONFIRMED
                       : e->r.kind == TRACE_ACKED     ? ACKED
                                                      : 0;
        unsigned publisher;
        uint64_t seq;

        if (flag && parse_id(e->data, e->r.data_n, &publisher, &seq))
            *state_of(books, publisher, seq) |= flag;
    }
}

/* -------------------------------------------------------------------------- what the disk has */

static int call_nobody(void *ctx, unsigned to, journal_run_fn *run, void *arg)
{
    (void)ctx, (void)to, (void)run, (void)arg;
    return -ENOMEM;
}

static void stored_nobody(void *ctx, unsigned to, const struct stored *a)
{
    (void)ctx, (void)to, (void)a;
}

/* As a start does. */
static int open_journal(const char *dir, char *text, size_t text_n)
{
    struct journal_options o = {.path = dir,
                                .segment_bytes = 64 << 10,
                                .workers = 1,
                                .call = call_nobody,
                                .stored = stored_nobody};
    struct journal *j = NULL;
    int r = journal_open(&o, &j, text, text_n);

    journal_free(j);
    return r;
}

/* The auditor's rule (tests/programs/auditor.c). */
static bool is_as_sent(unsigned publisher, uint64_t seq, struct slice data)
{
    uint64_t z = seq * UINT64_C(0x9e3779b97f4a7c15) + publisher;
    char head[48];
    size_t n = (size_t)snprintf(head, sizeof head, "%u %" PRIu64 " ", publisher, seq);

    if (data.n < n || memcmp(data.p, head, n) != 0)
        return false;
    for (size_t i = n; i < data.n; i++) {
        z ^= z << 13, z ^= z >> 7, z ^= z << 17;
        if (data.p[i] != (uint8_t)('a' + z % 26))
            return false;
    }
    return true;
}

struct look {
    const struct state *s;
    struct book *books;
    uint64_t print; /* of all there is */
};

static void look_at(struct look *l, struct slice bytes)
{
    struct record r;
    unsigned publisher;
    uint64_t seq;
    uint8_t *st;

    if (!record_decode_put(bytes, &r)) {
        violation(&found.corrupt, l->s, "corrupt", "a message does not bear its own check");
        return;
    }
    found.messages++;
    if (!parse_id(r.data.p, r.data.n, &publisher, &seq) || !is_as_sent(publisher, seq, r.data)) {
        violation(&found.corrupt, l->s, "corrupt", "a message is not as it was sent");
        return;
    }
    l->print += (seq * 31 + publisher + 7) * UINT64_C(0x9e3779b97f4a7c15) + r.seq;
    st = state_of(l->books, publisher, seq);
    if (!(*st & ISSUED))
        violation(&found.phantom, l->s, "phantom", "a message was never sent");
    if (*st & THERE)
        violation(&found.twice, l->s, "twice", "a message is there twice");
    *st |= THERE;
}

static void look_at_queue(struct look *l, const struct files *f, const struct stored_queue *q)
{
    const struct place *p;
    uint32_t segment = 0;
    uint8_t *buffer = malloc(2 << 20);
    int fd = -1;

    for (uint64_t seq = 0; buffer && (p = places_next(&q->places, &seq)) != NULL; seq++) {
        if (p->segment != segment) {
            if (fd >= 0)
                close(fd);
            segment = p->segment;
            if (files_segment(f, segment, false, &fd) < 0)
                die("a segment", -errno);
        }
        if (p->size > 2 << 20 || files_read(fd, buffer, p->size, p->offset) < 0)
            violation(&found.corrupt, l->s, "corrupt", "a message cannot be read");
        else
            look_at(l, slice_of(buffer, p->size));
    }
    if (fd >= 0)
        close(fd);
    free(buffer);
}

/* Read all there is, changing nothing. */
static int look(struct look *l, const char *dir)
{
    const struct stored_queue *q;
    struct files_source source;
    struct catalog c;
    struct recovery rec;
    struct files f;
    pid_t pid;
    size_t at = 0;
    int r = files_open_to_read(dir, &f, &pid);

    if (r < 0)
        return r;
    catalog_init(&c, 64 << 10, UINT64_MAX);
    r = files_source_init(&source, &f);
    if (r == 0)
        r = journal_recover(&source.source, false, &c, &rec);
    while (r == 0 && (q = catalog_next(&c, &at)) != NULL)
        look_at_queue(l, &f, q);
    files_source_fini(&source);
    catalog_fini(&c);
    files_close(&f);
    return r;
}

static void compare(const struct look *l)
{
    for (unsigned p = 0; p < PUBLISHERS; p++) {
        for (uint64_t seq = 1; seq < l->books[p].n; seq++) {
            uint8_t st = l->books[p].state[seq];
            char text[64];

            if ((st & (CONFIRMED | ACKED | THERE)) != CONFIRMED)
                continue;
            snprintf(text, sizeof text, "message %" PRIu64 " of publisher %u", seq, p);
            violation(&found.lost, l->s, "lost", text);
        }
    }
}

static void forget_there(struct book *books)
{
    for (unsigned p = 0; p < PUBLISHERS; p++)
        for (uint64_t seq = 0; seq < books[p].n; seq++)
            books[p].state[seq] &= (uint8_t)~THERE;
}

/* Open the journal in `dir` and see whether all is there that should be. */
static void judge(const struct state *s, struct book *books, const char *dir)
{
    struct look first = {s, books, 0}, then = {s, books, 0};
    char text[512] = "";
    int r = open_journal(dir, text, sizeof text);

    if (r == 0)
        r = look(&first, dir);
    if (r < 0) {
        violation(&found.refused, s, "refused", *text ? text : strerror(-r));
        return;
    }
    compare(&first);
    forget_there(books);
    if (open_journal(dir, text, sizeof text) < 0 || look(&then, dir) < 0 ||
        then.print != first.print)
        violation(&found.unstable, s, "unstable", *text ? text : "other messages are there");
    forget_there(books);
}

/* ------------------------------------------------------------------- the power goes once more */

static void need(int r, const char *what)
{
    if (r < 0)
        die(what, r);
}

/* Open it in a process of its own, which the shim watches. */
static void open_watched(const char *dir)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    pid_t pid;
    int status;

    need(n < 0 ? -errno : 0, "/proc/self/exe");
    self[n] = 0;
    unlink(second_trace);
    pid = fork();
    if (pid == 0) {
        setenv("LD_PRELOAD", want.shim, 1);
        setenv("SHIM_DIR", dir, 1);
        setenv("SHIM_TRACE", second_trace, 1);
        execl(self, "crash", "-O", dir, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        die("a start that is watched", -ECHILD);
}

/* The state is made again at `place`; opening it is traced; and of that trace states are made. */
static void judge_again(const struct state *s, struct book *books)
{
    struct trace opening;
    struct state made = *s;

    need(state_clear(second), second);
    need(state_make(&trace, &made, NULL, second), second);
    open_watched(second);
    need(trace_load(second_trace, &opening), second_trace);
    need(state_clear(second), second);
    need(state_make(&trace, &made, NULL, second), second);
    for (unsigned i = 0; i < AGAIN; i++) {
        struct state more = {.cut = opening.n ? (s->seed * AGAIN + i) * 7919 % (opening.n + 1) : 0,
                             .seed = s->seed * AGAIN + i};

        need(state_clear(place), place);
        need(state_make(&opening, &more, second, place), place);
        judge(s, books, place);
        found.again++;
    }
    trace_free(&opening);
}

/* ------------------------------------------------------------------------------------- all */

/* Half of the states are cut where something is about to become durable, or just did. */
static size_t cut_of(uint64_t seed)
{
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + 1;
    size_t at;

    z ^= z >> 29;
    at = (size_t)(z % (trace.n + 1));
    if (z & (UINT64_C(1) << 40))
        while (at < trace.n && trace.entry[at].r.kind != TRACE_SYNC_END &&
               trace.entry[at].r.kind != TRACE_DIR_END && trace.entry[at].r.kind != TRACE_RENAME &&
               trace.entry[at].r.kind != TRACE_CONFIRMED)
            at++;
    return at < trace.n && (z & (UINT64_C(1) << 41)) ? at + 1 : at;
}

static void examine(uint64_t seed)
{
    struct state s = {.cut = cut_of(seed), .seed = seed};
    struct book books[PUBLISHERS] = {0};

    need(state_clear(place), place);
    need(state_make(&trace, &s, NULL, place), place);
    fill_books(books, s.cut);
    judge(&s, books, place);
    found.states++;
    found.torn_states += s.torn > 0;
    if (want.shim && seed % AGAIN_EVERY == 0)
        judge_again(&s, books);
    for (unsigned p = 0; p < PUBLISHERS; p++)
        free(books[p].state);
}

static void options(int argc, char **argv)
{
    char text[512] = "";
    int c;

    while ((c = getopt(argc, argv, "t:n:s:d:r:vO:")) != -1) {
        switch (c) {
        case 't':
            want.trace = optarg;
            break;
        case 'n':
            want.states = strtoull(optarg, NULL, 10);
            break;
        case 's':
            want.seed = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            want.dir = optarg;
            break;
        case 'r':
            want.shim = optarg;
            break;
        case 'v':
            want.loud = true;
            break;
        case 'O': /* what open_watched() runs */
            exit(open_journal(optarg, text, sizeof text) == 0 ? 0 : 1);
        default:
            exit(2);
        }
    }
    if (!want.trace) {
        fprintf(stderr, "crash: a trace is needed: see tests/fault/crash.c\n");
        exit(2);
    }
}

static void make_places(void)
{
    snprintf(place, sizeof place, "%s/crash-%d", want.dir, (int)getpid());
    snprintf(second, sizeof second, "%s/crash-%d.again", want.dir, (int)getpid());
    snprintf(second_trace, sizeof second_trace, "%s/crash-%d.trace", want.dir, (int)getpid());
    if (mkdir(place, 0700) < 0 || mkdir(second, 0700) < 0)
        die(place, -errno);
}

static void remove_places(void)
{
    state_clear(place);
    state_clear(second);
    rmdir(place);
    rmdir(second);
    unlink(second_trace);
}

int main(int argc, char **argv)
{
    options(argc, argv);
    need(trace_load(want.trace, &trace), want.trace);
    make_places();
    for (uint64_t i = 0; i < want.states; i++) {
        examine(want.seed + i);
        if (want.loud && i % 100 == 99)
            fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " states", i + 1, want.states);
    }
    remove_places();
    printf("{\"states\":%" PRIu64 ",\"torn\":%" PRIu64 ",\"again\":%" PRIu64
           ",\"messages\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"phantom\":%" PRIu64
           ",\"corrupt\":%" PRIu64 ",\"twice\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"unstable\":%" PRIu64 "}\n",
           found.states, found.torn_states, found.again, found.messages, found.lost, found.phantom,
           found.corrupt, found.twice, found.refused, found.unstable);
    trace_free(&trace);
    return violations() ? 1 : found.messages ? 0 : 2;
}
