/* Connections over real sockets, with a door that echoes and a core that only counts. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "brokerd/net/internal.h"
#include "brokerd/net/net.h"
#include "brokerd/net/websocket.h"
#include "tests/unit/net/echo_door.h"
#include "tests/unit/worker/fake_core.h"

enum { PATIENCE_MS = 30000 };

/* ---- the rest of a fake core */

static atomic_uint full_told, room_told, drains;
static atomic_int_fast64_t charged, charged_most;

void core_charge(struct core *c, int64_t delta)
{
    int64_t now = atomic_fetch_add(&charged, delta) + delta;

    (void)c;
    if (now > atomic_load(&charged_most))
        atomic_store(&charged_most, now);
}

void core_writable(struct endpoint *ep, bool writable)
{
    (void)ep;
    atomic_fetch_add(writable ? &room_told : &full_told, 1);
}

static atomic_uint_fast64_t written_told;

bool core_written(struct endpoint *ep, uint64_t position)
{
    (void)ep;
    atomic_store(&written_told, position);
    return true;
}

static atomic_bool behind; /* with what those who asked for much did */

bool core_is_behind(const struct endpoint *ep)
{
    return ((const struct door_conn *)(const void *)ep)->asked_much && atomic_load(&behind);
}

void core_drain(struct core *c)
{
    (void)c;
    atomic_fetch_add(&drains, 1);
}

/* Who publishes there, as the test says. */
static atomic_int wanted = -1; /* the worker all want to; -1: none */
static atomic_bool restless;   /* nobody comes to rest */
static atomic_bool cannot_leave, cannot_call, cannot_join;
static atomic_uint times_left, joined;

bool core_endpoint_wants(const struct endpoint *ep, unsigned *ret)
{
    const struct link *l = ((const struct door_conn *)(const void *)ep)->link;
    int to = atomic_load(&wanted);

    if (to < 0 || l->host->core->o.id == (unsigned)to)
        return false;
    *ret = (unsigned)to;
    return true;
}

bool core_endpoint_at_rest(const struct endpoint *ep)
{
    (void)ep;
    return !atomic_load(&restless);
}

int core_endpoint_leave(struct endpoint *ep)
{
    (void)ep;
    if (atomic_load(&cannot_leave))
        return -ENOMEM;
    atomic_fetch_add(&times_left, 1);
    return 0;
}

int core_endpoint_join(struct core *c, struct endpoint *ep)
{
    (void)c;
    (void)ep;
    atomic_fetch_add(&joined, 1);
    return atomic_load(&cannot_join) ? -ENOMEM : 0;
}

static int call_or_fail(struct worker *w, unsigned to, worker_fn *fn, void *arg)
{
    return atomic_load(&cannot_call) ? -ENOMEM : worker_call(w, to, fn, arg);
}

#define worker_call call_or_fail
#include "brokerd/net/move.c"
#undef worker_call

/* ---- a net that runs, and what it did */

static struct workers *workers;
static struct net *net;
static struct net_stats all; /* summed by end() */

static const struct net_options usual = {
    .max_connections = 100,
    .first_frame_ms = PATIENCE_MS,
    .linger_ms = PATIENCE_MS,
    .websocket_ping_ms = INT64_MAX,
    .door = {.first_frame_max = 65536, .frame_max = 1 << 24},
};

static void make(unsigned n, const struct net_options *o)
{
    struct workers_options wo = {.n = n, .placement = PLACEMENT_SPREAD, .memory = 64 << 20};

    log_setup(LEVEL_ERROR, LOG_FORMAT_PLAIN);
    atomic_store(&charged, 0);
    ck_assert_int_eq(workers_new(&wo, &workers), 0);
    ck_assert_int_eq(net_new(workers, o, &net), 0);
}

static void listen_tcp(const char *host)
{
    char err[NET_TEXT_MAX];
    struct net_listener_desc d = {.name = "test", .host = host};

    ck_assert_msg(net_listen(net, &d, err, sizeof err) == 0, "%s", err);
}

static void begin(unsigned n, const struct net_options *o)
{
    make(n, o);
    listen_tcp("127.0.0.1");
    ck_assert_int_eq(workers_start(workers), 0);
}

static void end(void)
{
    workers_stop(workers);
    workers_join(workers);
    memset(&all, 0, sizeof all);
    for (unsigned i = 0; i < workers_count(workers); i++) {
        struct net_stats s = net_worker_stats(net, i);

        all.accepted += s.accepted;
        all.handed_over += s.handed_over;
        all.reads += s.reads;
        all.reads_paused += s.reads_paused;
        all.moved += s.moved;
        all.moves_given_up += s.moves_given_up;
        for (unsigned e = 0; e < NET_ENDS; e++)
            all.ended[e] += s.ended[e];
    }
    net_free(net);
    ck_assert_int_eq(atomic_load(&charged), 0);
    for (unsigned i = 0; i < workers_count(workers); i++)
        ck_assert_uint_eq(worker_connections(workers_get(workers, i)), 0);
    workers_free(workers);
}

/* ---- a client */

static int client_at(const char *url)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

static int client(void)
{
    return client_at(net_listener_url(net, 0));
}

static void put(int fd, const void *p, size_t n)
{
    ck_assert_int_eq(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void get(int fd, void *p, size_t n)
{
    ck_assert_int_eq(recv(fd, p, n, MSG_WAITALL), (ssize_t)n);
}

static void get_text(int fd, const char *text)
{
    char buf[64] = "";

    get(fd, buf, strlen(text));
    ck_assert_str_eq(buf, text);
}

/* A line that begins so, and then the end. */
static void get_line_and_end(int fd, const char *begins)
{
    char buf[NET_TEXT_MAX] = "";
    size_t n = 0;

    while (n + 1 < sizeof buf && recv(fd, buf + n, 1, 0) == 1)
        n++;
    ck_assert_msg(strncmp(buf, begins, strlen(begins)) == 0, "got: %s", buf);
    ck_assert(n > 2 && strcmp(buf + n - 2, "\r\n") == 0 && strchr(buf, '\n') == buf + n - 1);
    close(fd);
}

/* The end: in good order if `clean`, else perhaps by a reset. */
static void get_end(int fd, bool clean)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);

    ck_assert_msg(n == 0 || (!clean && n < 0 && errno == ECONNRESET), "%zd %s", n, strerror(errno));
    close(fd);
}

static size_t frame(uint8_t *p, size_t n, uint8_t fill)
{
    p[0] = 'E';
    p[1] = (uint8_t)(n >> 16);
    p[2] = (uint8_t)(n >> 8);
    p[3] = (uint8_t)n;
    memset(p + ECHO_HEAD, fill, n);
    return ECHO_HEAD + n;
}

static void command(int fd, const char *word)
{
    uint8_t buf[64];

    frame(buf, strlen(word), 0);
    memcpy(buf + ECHO_HEAD, word, strlen(word));
    put(fd, buf, ECHO_HEAD + strlen(word));
}

/* Send all of it, reading what comes back meanwhile: it must be the same. */
static void exchange(int fd, const uint8_t *p, size_t n, size_t step)
{
    size_t sent = 0, got = 0;
    uint8_t *back = malloc(n);

    while (got < n) {
        struct pollfd at = {fd, (short)(POLLIN | (sent < n ? POLLOUT : 0)), 0};

        ck_assert_int_gt(poll(&at, 1, PATIENCE_MS), 0);
        if (at.revents & POLLOUT) {
            ssize_t r =
                send(fd, p + sent, n - sent < step ? n - sent : step, MSG_DONTWAIT | MSG_NOSIGNAL);

            sent += r > 0 ? (size_t)r : 0;
        }
        if (at.revents & POLLIN) {
            ssize_t r = recv(fd, back + got, n - got, MSG_DONTWAIT);

            if (r <= 0)
                ck_abort_msg("ended after %zu of %zu", got, n);
            got += (size_t)r;
        }
    }
    ck_assert(memcmp(p, back, n) == 0);
    free(back);
}

/* Wait for something that workers do. */
static void wait_for(bool (*holds)(void))
{
    for (int i = 0; i < PATIENCE_MS && !holds(); i++)
        poll(NULL, 0, 1);
    ck_assert(holds());
}

static bool nobody_there(void)
{
    return net_connections(net) == 0;
}

static bool somebody_there(void)
{
    return net_connections(net) > 0;
}

/* ---- frames arrive whole, however they are cut */

static const struct {
    size_t sizes[6]; /* of frames, repeated until there are a few megabytes */
    size_t total, step;
} cuts[] = {
    {{0, 1, 5}, 200, 1},
    {{128}, 3 << 20, 100000},
    {{128, 1000, 70000}, 6 << 20, 7777},
    {{16384}, 8 << 20, 1 << 20},
    {{65536, 3, 100000, 40000}, 8 << 20, 50001},
    {{5000000, 10, 3000000}, 20 << 20, 1 << 20},
};

START_TEST(frames_come_back)
{
    uint8_t *p = malloc(cuts[_i].total + (8 << 20));
    struct net_options o = usual;
    size_t n = 0;
    int fd;

    for (unsigned i = 0; n < cuts[_i].total; i++) {
        size_t k = 0;

        while (k < 6 && cuts[_i].sizes[k])
            k++;
        k += k == 0 ? 3 : 0;
        n += frame(p + n, cuts[_i].sizes[i % k], (uint8_t)i);
    }
    o.door.first_frame_max = 1 << 24;
    begin(2, &o);
    fd = client();
    for (unsigned i = 0; i < 2; i++) { /* of which the second goes to the other worker */
        exchange(fd, p, n, cuts[_i].step);
        close(fd);
        fd = client();
    }
    command(fd, "quit");
    get_text(fd, "bye!");
    get_end(fd, true);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.accepted, 3);
    ck_assert_uint_eq(all.handed_over, 1);
    ck_assert_uint_eq(all.ended[NET_END_PEER], 2);
    ck_assert_uint_eq(all.ended[NET_END_ASKED], 1);
    free(p);
}
END_TEST

/* ---- which protocol */

START_TEST(first_bytes_tell)
{
    int fd;

    begin(1, &usual);
    fd = client();
    put(fd, "SL", 2);
    put(fd, "OWL", 3);
    put(fd, "Y", 1);
    get_text(fd, "ok");
    close(fd);
    fd = client();
    put(fd, "SLOWER", 6);
    get_line_and_end(
        fd, "brokerd: these bytes are of no protocol served here: echo, slow and websocket\r\n");
    fd = client();
    put(fd, "\x16\x03", 2);
    put(fd, "\x01", 1);
    get_end(fd, true); /* without a word: it would take it for a broken alert */
    wait_for(nobody_there);
    fd = client();
    put(fd, "SLO", 3);
    wait_for(somebody_there); /* accepted, before it leaves */
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.ended[NET_END_UNKNOWN], 1);
    ck_assert_uint_eq(all.ended[NET_END_TLS], 1);
    ck_assert_uint_eq(all.ended[NET_END_CUT], 1);
}
END_TEST

START_TEST(a_listener_may_be_narrowed)
{
    const char *names[] = {"slow"};
    struct net_listener_desc d = {
        .name = "test", .host = "127.0.0.1", .protocols = names, .n_protocols = 1};
    char err[NET_TEXT_MAX];
    int fd;

    make(1, &usual);
    ck_assert_int_eq(net_listen(net, &d, err, sizeof err), 0);
    names[0] = "fast";
    ck_assert_int_eq(net_listen(net, &d, err, sizeof err), -EPROTONOSUPPORT);
    ck_assert_int_eq(workers_start(workers), 0);
    fd = client();
    command(fd, "hello");
    get_line_and_end(fd, "echo is not served here, but slow\r\n");
    fd = client();
    put(fd, "SLOWLY", 6);
    get_text(fd, "ok");
    close(fd);
    end();
    ck_assert_uint_eq(all.ended[NET_END_NARROWED], 1);
}
END_TEST

/* ---- limits before the handshake */

START_TEST(the_first_frame_must_come_in_time)
{
    struct net_options o = usual;
    int idle, half, fine;

    o.first_frame_ms = 150;
    begin(2, &o);
    fine = client();
    command(fine, "hello");
    idle = client();
    half = client();
    put(half, "E\0\0", 3);
    get_end(idle, true);
    get_end(half, false);
    get_text(fine, "E");
    command(fine, "quit"); /* its time was over as well, had it not said hello */
    close(fine);
    end();
    ck_assert_uint_eq(all.ended[NET_END_FIRST_TIME], 2);
}
END_TEST

START_TEST(the_first_frame_has_a_limit)
{
    uint8_t *p = calloc(1, 200000);
    int fd;

    begin(1, &usual);
    fd = client();
    frame(p, 100000, 'x');
    put(fd, p, 10);
    get_end(fd, false);
    fd = client();
    exchange(fd, p, frame(p, 65000, 'x'), 1 << 20);
    exchange(fd, p, frame(p, 100000, 'x'), 1 << 20);
    close(fd);
    end();
    ck_assert_uint_eq(all.ended[NET_END_FIRST_SIZE], 1);
    free(p);
}
END_TEST

/* ---- last words */

START_TEST(last_words_survive_unread_input)
{
    static uint8_t more[3 << 20];
    int fd;

    begin(1, &usual);
    fd = client();
    command(fd, "quit");
    /* Megabytes that nobody will read: closed at once, they would make a reset. */
    put(fd, more, sizeof more);
    get_text(fd, "bye!");
    get_end(fd, true);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.ended[NET_END_ASKED], 1);
}
END_TEST

START_TEST(who_lingers_too_long_is_cut_off)
{
    struct net_options o = usual;
    int fd;

    o.linger_ms = 100;
    begin(1, &o);
    fd = client();
    command(fd, "quit");
    get_text(fd, "bye!");
    wait_for(nobody_there); /* although we never close */
    close(fd);
    fd = client();
    command(fd, "bad");
    get_end(fd, false);
    end();
    ck_assert_uint_eq(all.ended[NET_END_ASKED], 1);
    ck_assert_uint_eq(all.ended[NET_END_DOOR], 1);
}
END_TEST

/* ---- back-pressure */

START_TEST(who_does_not_take_answers_is_not_read)
{
    static uint8_t p[100000], back[sizeof p];
    size_t n = frame(p, 60000, 'x'), sent = 0, got = 0;
    int fd, idle = 0;

    begin(1, &usual);
    atomic_store(&full_told, 0);
    atomic_store(&room_told, 0);
    atomic_store(&charged_most, 0);
    fd = client();
    while (idle < 50) { /* until nothing has moved for a while */
        size_t at = sent % n;
        ssize_t r = send(fd, p + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        ck_assert_uint_lt(sent, 64 << 20);
        sent += r > 0 ? (size_t)r : 0;
        idle = r > 0 ? 0 : idle + 1;
        if (r <= 0)
            poll(NULL, 0, 2);
    }
    if (sent % n)
        sent -= sent % n; /* of the last frame, only a part is there: it will not come back */
    while (got < sent) {
        size_t want = n - got % n, left = sent - got;
        ssize_t r = recv(fd, back, want < left ? want : left, 0);

        ck_assert_int_gt(r, 0);
        ck_assert(memcmp(back, p + got % n, (size_t)r) == 0);
        got += (size_t)r;
    }
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_ge(all.reads_paused, 1);
    ck_assert_uint_ge(atomic_load(&full_told), 1);
    ck_assert_uint_eq(atomic_load(&full_told), atomic_load(&room_told));
    ck_assert_int_ge(atomic_load(&charged_most), OUT_STOP_READING);
    ck_assert_int_le(atomic_load(&charged_most), 4 * OUT_STOP_READING);
}
END_TEST

/* It sends much at once, and that takes long to deal with: less is read at a time. */
START_TEST(who_takes_long_is_read_little_by_little)
{
    static uint8_t p[READ_BYTES], back[4];
    size_t n = frame(p, 60, 'x'), all_of_it, at = 0;
    int fd;

    begin(1, &usual);
    fd = client();
    all_of_it = frame(p, 4, 0);
    memcpy(p + 4, "slow", 4);
    ck_assert_int_eq(send(fd, p, all_of_it, 0), (ssize_t)all_of_it);
    ck_assert_int_eq(recv(fd, back, 2, MSG_WAITALL), 2);
    for (all_of_it = 0; all_of_it + n <= sizeof p; all_of_it += n)
        (void)frame(p + all_of_it, 60, 'x');
    atomic_store(&echo_given, 0);
    while (atomic_load(&echo_given) < ECHO_FEW + 4) { /* and take back what comes */
        static uint8_t echoes[READ_BYTES];
        ssize_t w = send(fd, p + at, all_of_it - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        at = (at + (w > 0 ? (size_t)w : 0)) % all_of_it;
        if (w <= 0)
            poll(&(struct pollfd){.fd = fd, .events = POLLIN | POLLOUT}, 1, 1000);
        while (recv(fd, echoes, sizeof echoes, MSG_DONTWAIT) > 0)
            continue;
    }
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_gt(atomic_load(&echo_most_given), 0);
    ck_assert_uint_le(atomic_load(&echo_most_given), READ_BYTES / 4);
}
END_TEST

/* Another's exchanges are turns in which it would be read. */
START_TEST(who_asked_for_much_is_not_read_until_it_is_done)
{
    uint8_t p[100], back[sizeof p];
    size_t n = frame(p, 60, 'y');
    int fd, other;

    begin(1, &usual);
    atomic_store(&behind, true);
    fd = client();
    other = client();
    command(fd, "much");
    get_text(fd, "ok");
    put(fd, p, n);
    for (int i = 0; i < 3; i++)
        exchange(other, p, n, n);
    ck_assert_int_lt(recv(fd, back, n, MSG_DONTWAIT), 0);
    atomic_store(&behind, false);
    exchange(other, p, n, n);
    get(fd, back, n);
    ck_assert(memcmp(p, back, n) == 0);
    close(fd);
    close(other);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.reads_paused, 1);
}
END_TEST

/* Its keep-alives lie unread because we do not read: that is no silence. */
START_TEST(who_is_not_read_is_not_silent)
{
    static uint8_t p[100000], back[sizeof p];
    size_t n = frame(p, 60000, 'x'), sent = 0, got = 0;
    struct pollfd end_of_it = {.events = POLLRDHUP};
    int fd, idle = 0;

    begin(1, &usual);
    fd = client();
    command(fd, "short life");
    while (idle < 50) {
        size_t at = sent % n;
        ssize_t r = send(fd, p + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += r > 0 ? (size_t)r : 0;
        idle = r > 0 ? 0 : idle + 1;
        if (r <= 0)
            poll(NULL, 0, 2);
    }
    end_of_it.fd = fd;
    ck_assert_int_eq(poll(&end_of_it, 1, 1200), 0);
    sent -= sent % n;
    while (got < sent) {
        size_t want = n - got % n, left = sent - got;
        ssize_t r = recv(fd, back, want < left ? want : left, 0);

        ck_assert_int_gt(r, 0);
        got += (size_t)r;
    }
    ck_assert_int_eq(poll(&end_of_it, 1, PATIENCE_MS), 1); /* now it is silent */
    close(fd);
    end();
    ck_assert_uint_ge(all.reads_paused, 1);
    ck_assert_uint_eq(all.ended[NET_END_SILENT], 1);
}
END_TEST

/* ---- too many */

/* What the door left comes again without a byte more; and what came meanwhile, of whatever length,
 * after it, in order. */
START_TEST(who_is_paused_is_not_read)
{
    size_t n = _i ? 3 << 20 : 10, all_n = 0;
    uint8_t *p = malloc(n + 4096), *back = malloc(n + 4096);
    int fd;

    atomic_store(&echo_given_paused, 0);
    begin(1, &usual);
    fd = client();
    all_n += frame(p, 5, 0);
    memcpy(p + ECHO_HEAD, "pause", 5);
    all_n += frame(p + all_n, 3, 'x');
    all_n += frame(p + all_n, n, 'y');
    put(fd, p, all_n);
    get(fd, back, all_n - 5 - ECHO_HEAD);
    ck_assert(memcmp(back, p + 5 + ECHO_HEAD, all_n - 5 - ECHO_HEAD) == 0);
    command(fd, "pause"); /* and nothing behind it: a peer that goes meanwhile is noticed */
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(atomic_load(&echo_given_paused), 0);
    ck_assert_uint_ge(all.reads_paused, 2);
    ck_assert_uint_eq(all.ended[NET_END_PEER], 1);
    free(back);
    free(p);
}
END_TEST

/* ---- WebSocket */

/* A frame of a client, with a mask. */
static size_t ws_frame(uint8_t *to, uint8_t b0, const void *payload, size_t n)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    unsigned wide = n < 126 ? 0 : n < 65536 ? 2 : 8;
    uint8_t *p = to;

    *p++ = b0;
    *p++ = (uint8_t)(0x80 | (wide == 0 ? n : wide == 2 ? 126 : 127));
    for (unsigned i = wide; i > 0; i--)
        *p++ = (uint8_t)((uint64_t)n >> (8 * (i - 1)));
    memcpy(p, mask, 4);
    p += 4;
    for (size_t i = 0; i < n; i++)
        *p++ = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    return (size_t)(p - to);
}

/* The next frame of ours; returns its length, its first byte in *ret. */
static size_t ws_get(int fd, uint8_t *ret, uint8_t *payload)
{
    uint8_t head[10];
    size_t n, more;

    get(fd, head, 2);
    more = head[1] == 126 ? 2 : head[1] == 127 ? 8 : 0;
    n = more ? 0 : head[1];
    if (more)
        get(fd, head + 2, more);
    for (size_t i = 0; i < more; i++)
        n = n << 8 | head[2 + i];
    *ret = head[0];
    if (n)
        get(fd, payload, n);
    return n;
}

/* Pings and messages are passed over. */
static void ws_closed(int fd, unsigned status)
{
    uint8_t b0, payload[256];

    do
        (void)ws_get(fd, &b0, payload);
    while (b0 != 0x88);
    ck_assert_uint_eq((unsigned)payload[0] << 8 | payload[1], status);
    get_end(fd, true);
}

static int websocket(void)
{
    int fd = client();

    command(fd, "websocket");
    return fd;
}

static void ws_command(int fd, const char *word)
{
    uint8_t p[64];

    put(fd, p, ws_frame(p, 0x82, word, strlen(word)));
}

/* Each message comes back as one, text where it is UTF-8; and the core hears of the door's bytes,
 * not of the socket's. */
START_TEST(messages_come_back)
{
    static const size_t sizes[] = {1, 0, 125, 126, 4000, 20000, 65535, 65536, 300000, 3 << 20};
    uint8_t *p = malloc(4 << 20), *back = malloc(4 << 20), *sent = malloc(4 << 20), b0;
    struct net_options o = usual;
    uint64_t door_bytes = 0;
    int fd;

    o.door.first_frame_max = 1 << 24;
    begin(1, &o);
    fd = websocket();
    for (unsigned i = 0; i < 40; i++) {
        size_t n = sizes[i % 10], size;
        bool in_two = i >= 20 && n > 1;

        memset(sent, i % 20 < 10 ? 'x' : 0xfe, n);
        size = ws_frame(p, in_two ? 0x02 : 0x82, sent, in_two ? n / 2 : n);
        if (in_two) {
            size += ws_frame(p + size, 0x89, "?", 1);
            size += ws_frame(p + size, 0x80, sent + n / 2, n - n / 2);
        }
        put(fd, p, size);
        /* The pong may be behind it, if all came in one read. */
        for (bool pong = in_two, message = true; pong || message;) {
            size_t got = ws_get(fd, &b0, message ? back : (uint8_t[1]){0});

            if (b0 == 0x8a) {
                ck_assert(pong && got == 1);
                pong = false;
                continue;
            }
            ck_assert(message && got == n && memcmp(back, sent, n) == 0);
            ck_assert_uint_eq(b0, n == 0 || i % 20 < 10 ? 0x81 : 0x82);
            message = false;
        }
        door_bytes += ECHO_HEAD + n;
    }
    put(fd, p, ws_frame(p, 0x88, "\x03\xe8", 2));
    ws_closed(fd, 1000);
    wait_for(nobody_there);
    ck_assert_uint_eq(atomic_load(&written_told), door_bytes);
    end();
    ck_assert_uint_eq(all.ended[NET_END_ASKED], 1);
    free(p);
    free(back);
    free(sent);
}
END_TEST

/* A carried door may have its peer not read; the messages that came with the one that made it do so
 * wait, however many there are. */
START_TEST(a_carried_door_pauses)
{
    uint8_t *p = malloc(8 << 20), *back = malloc(1 << 20), *body = calloc(1, 1 << 20), b0;
    static const size_t sizes[] = {3, 100000, 5, 700000, 0};
    int fd;

    atomic_store(&echo_given_paused, 0);
    begin(1, &usual);
    fd = websocket();
    for (unsigned round = 0; round < 2; round++) {
        size_t n = ws_frame(p, 0x82, "pause", 5);

        for (unsigned i = 0; i < 5; i++)
            n += ws_frame(p + n, 0x82, body, sizes[i]);
        put(fd, p, n);
        for (unsigned i = 0; i < 5; i++)
            ck_assert_uint_eq(ws_get(fd, &b0, back), sizes[i]);
    }
    ws_command(fd, "pause");
    close(fd); /* and goes, paused */
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(atomic_load(&echo_given_paused), 0);
    ck_assert_uint_ge(all.reads_paused, 3);
    free(p);
    free(back);
    free(body);
}
END_TEST

/* Why a connection ends, as the status of its close. */
START_TEST(a_websocket_is_told_why_it_ends)
{
    struct net_options o = usual;
    uint8_t back[256], b0;
    int fd;

    o.first_frame_ms = 200;
    o.websocket_ping_ms = 150;
    begin(1, &o);
    fd = websocket();
    ws_command(fd, "quit");
    ws_closed(fd, 1000);
    fd = websocket();
    ws_command(fd, "bad");
    ws_closed(fd, 1008);
    ws_closed(websocket(), 1008); /* says nothing: its time is over */
    fd = websocket();             /* says something, and then not even pongs */
    ws_command(fd, "x");
    ck_assert_uint_eq(ws_get(fd, &b0, back), 1);
    for (unsigned i = 0; i < WEBSOCKET_PINGS; i++) {
        ck_assert_uint_eq(ws_get(fd, &b0, back), 0);
        ck_assert_uint_eq(b0, 0x89);
    }
    ws_closed(fd, 1008);
    fd = websocket(); /* is there when all end */
    ws_command(fd, "x");
    ck_assert_uint_eq(ws_get(fd, &b0, back), 1);
    ck_assert_int_eq(net_close_all(net, 0), 0);
    ws_closed(fd, 1001);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.ended[NET_END_ASKED], 1);
    ck_assert_uint_eq(all.ended[NET_END_DOOR], 1);
    ck_assert_uint_eq(all.ended[NET_END_FIRST_TIME], 1);
    ck_assert_uint_eq(all.ended[NET_END_SILENT], 1);
    ck_assert_uint_eq(all.ended[NET_END_DRAINED], 1);
}
END_TEST

START_TEST(connections_have_a_limit)
{
    struct net_options o = usual;
    int fd[5];

    o.max_connections = 3;
    begin(2, &o);
    for (int i = 0; i < 5; i++)
        fd[i] = client();
    get_end(fd[3], false);
    get_end(fd[4], false);
    for (int i = 0; i < 3; i++) {
        command(fd[i], "quit");
        get_text(fd[i], "bye!");
        get_end(fd[i], true);
    }
    wait_for(nobody_there);
    fd[0] = client();
    command(fd[0], "quit");
    get_text(fd[0], "bye!");
    close(fd[0]);
    end();
    ck_assert_uint_eq(all.ended[NET_END_MAX_CONNECTIONS], 2);
}
END_TEST

START_TEST(without_descriptors_others_go_on)
{
    struct rlimit l;
    int fd, other[64], spare[1024], spares = 0, others = 0;

    begin(1, &usual);
    fd = client();
    command(fd, "hello");
    get_text(fd, "E");
    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = 128;
    setrlimit(RLIMIT_NOFILE, &l);
    while ((spare[spares] = open("/dev/null", O_RDONLY)) >= 0)
        spares++;
    /* The client's sockets use up descriptors of the same process: give some back, fewer than both
     * ends of the connections need. */
    for (int i = 0; i < 5; i++)
        close(spare[--spares]);
    for (; others < 3; others++)
        other[others] = client();
    get_end(other[2], false); /* refused, not left hanging */
    command(fd, "quit");
    get(fd, (char[8]){0}, 8);
    get_text(fd, "bye!");
    get_end(fd, true);
    for (int i = 0; i < 2; i++)
        close(other[i]);
    while (spares)
        close(spare[--spares]);
    wait_for(nobody_there);
    fd = client();
    command(fd, "quit");
    get_text(fd, "bye!");
    close(fd);
    end();
    ck_assert_uint_ge(all.ended[NET_END_NO_DESCRIPTOR], 1);
}
END_TEST

/* ---- addresses */

START_TEST(unix_sockets)
{
    char err[NET_TEXT_MAX], dir[] = "/tmp/test_net.XXXXXX", path[64], url[80];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct net_listener_desc d = {.name = "test", .path = path};
    struct stat st;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(url, sizeof url, "unix://%s", path);
    memcpy(to.sun_path, path, strlen(path));
    make(1, &usual);
    /* A socket that nobody listens on any more is in the way only for a moment... */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    close(fd);
    ck_assert_msg(net_listen(net, &d, err, sizeof err) == 0, "%s", err);
    ck_assert_str_eq(net_listener_url(net, 0), url);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0660);
    /* ...but one in use is not taken away, nor anything else of that name. */
    ck_assert_int_eq(net_listen(net, &d, err, sizeof err), -EADDRINUSE);
    ck_assert_int_eq(workers_start(workers), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    command(fd, "quit");
    get_text(fd, "bye!");
    get_end(fd, true);
    end();
    ck_assert_int_eq(stat(path, &st), -1); /* removed */
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    make(1, &usual);
    ck_assert_int_eq(net_listen(net, &d, err, sizeof err), -EADDRINUSE);
    end();
    ck_assert_int_eq(unlink(path), 0);
    rmdir(dir);
}
END_TEST

START_TEST(an_address_in_use_is_told)
{
    char err[NET_TEXT_MAX];
    struct net_listener_desc d = {.name = "test", .host = "127.0.0.1"};

    make(1, &usual);
    listen_tcp("127.0.0.1");
    d.port = (uint16_t)atoi(strrchr(net_listener_url(net, 0), ':') + 1);
    ck_assert_int_eq(net_listen(net, &d, err, sizeof err), -EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(err, "cannot bind"));
    d.host = "no-such-host.invalid";
    ck_assert_int_lt(net_listen(net, &d, err, sizeof err), 0);
    ck_assert_int_eq(net_adopt(net, 0, &d, err, sizeof err), -ENOTSOCK);
    end();
}
END_TEST

START_TEST(sockets_are_taken_over)
{
    char err[NET_TEXT_MAX], url[NET_TEXT_MAX];
    struct net_listener_desc d = {.name = "handed"};
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    make(1, &usual);
    ck_assert_int_eq(net_adopt(net, fd, &d, err, sizeof err), -ENOTSOCK); /* does not listen */
    ck_assert_int_eq(listen(fd, 10), 0);
    ck_assert_int_eq(net_socket_url(fd, url, sizeof url), 0);
    ck_assert_int_eq(net_adopt(net, fd, &d, err, sizeof err), 0);
    ck_assert_str_eq(net_listener_url(net, 0), url);
    ck_assert_int_eq(workers_start(workers), 0);
    fd = client_at(url);
    command(fd, "quit");
    get_text(fd, "bye!");
    get_end(fd, true);
    end();
}
END_TEST

/* ---- to the worker its messages go to */

static int64_t asked_since; /* was_asked_twice(); 0: not yet */

/* Placed in turn, so the first is on worker 0; then packed, where they may follow. */
static int follower(void)
{
    int fd;

    asked_since = 0;
    atomic_store(&wanted, -1);
    atomic_store(&restless, false);
    atomic_store(&cannot_leave, false);
    atomic_store(&cannot_call, false);
    atomic_store(&cannot_join, false);
    atomic_store(&times_left, 0);
    atomic_store(&joined, 0);
    begin(2, &usual);
    fd = client();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    command(fd, "hello");
    get(fd, (char[9]){0}, 9);
    workers_set_placement(workers, PLACEMENT_PACK);
    return fd;
}

/* A frame there and back, cut in two so that its beginning may go along. */
static void ping(int fd, uint8_t i)
{
    uint8_t out[300], back[300];
    size_t n = frame(out, 250, i);

    put(fd, out, 100 + i);
    put(fd, out + 100 + i, n - 100 - i);
    get(fd, back, n);
    ck_assert(memcmp(out, back, n) == 0);
}

/* Go on until something that workers do. */
static void ping_until(int fd, bool (*holds)(void))
{
    for (int i = 0; i < PATIENCE_MS && !holds(); i++) {
        ping(fd, (uint8_t)(i % 100));
        poll(NULL, 0, 1); /* between two pings; nothing relies on its length */
    }
    ck_assert(holds());
}

static bool has_joined(void)
{
    return atomic_load(&joined) > 0;
}

static unsigned there[2]; /* connections of each worker, as look_around() saw them */
static uint64_t there_id;
static atomic_uint looked_around;

static void count_one(void *ctx, const struct net_conn_info *info)
{
    there[*(unsigned *)ctx]++;
    there_id = info->id;
}

static void look_around(void *arg, struct worker *w)
{
    unsigned id = worker_id(w);

    (void)arg;
    there[id] = 0;
    net_each_connection(net, id, count_one, &id);
    atomic_fetch_add(&looked_around, 1);
}

static bool one_looked(void)
{
    return atomic_load(&looked_around) == 1;
}

static bool both_looked(void)
{
    return atomic_load(&looked_around) == 2;
}

/* One after the other: both write there_id. */
static void look_at_both(void)
{
    atomic_store(&looked_around, 0);
    ck_assert_int_eq(workers_call(workers, 0, look_around, NULL), 0);
    wait_for(one_looked);
    ck_assert_int_eq(workers_call(workers, 1, look_around, NULL), 0);
    wait_for(both_looked);
}

static bool is_there(void)
{
    look_at_both();
    return there[1] == 1;
}

static void kill_it(void *arg, struct worker *w)
{
    (void)arg;
    (void)w;
    net_kill(net, there_id);
}

START_TEST(a_connection_moves)
{
    int fd = follower();

    look_at_both();
    ck_assert_uint_eq(there[0], 1);
    ck_assert_uint_eq(net_connection_worker(there_id), 0);
    atomic_store(&wanted, 1);
    ping_until(fd, has_joined);
    for (uint8_t i = 0; i < 100; i++)
        ping(fd, i);
    look_at_both();
    ck_assert_uint_eq(there[0], 0);
    ck_assert_uint_eq(there[1], 1);
    ck_assert_uint_eq(worker_connections(workers_get(workers, 1)), 1);
    ck_assert_uint_eq(net_connection_worker(there_id), 1);
    ck_assert_int_eq(workers_call(workers, 1, kill_it, NULL), 0);
    get_end(fd, false);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.moved, 1);
    ck_assert_uint_eq(all.moves_given_up, 0);
    ck_assert_uint_eq(atomic_load(&times_left), 1);
    ck_assert_uint_eq(all.ended[NET_END_KILLED], 1);
}
END_TEST

/* To and fro while megabytes go through it, in frames of all sizes. */
START_TEST(a_connection_moves_under_load)
{
    enum { TOTAL = 8 << 20 };
    static const size_t sizes[] = {128, 1000, 70000, 3};
    uint8_t *p = malloc(TOTAL + 100000);
    size_t n = 0;
    int fd = follower();

    for (unsigned i = 0; n < TOTAL; i++)
        n += frame(p + n, sizes[i % 4], (uint8_t)i);
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&joined, 0);
        atomic_store(&wanted, (int)(1 - i % 2));
        do
            exchange(fd, p, n, 50001);
        while (!has_joined());
    }
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.moved, 3);
    free(p);
}
END_TEST

/* Enough time to be asked to move twice, and no more. */
static bool was_asked_twice(void)
{
    struct timespec ts;
    int64_t now;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    if (!asked_since)
        asked_since = now;
    return now - asked_since > 1200;
}

/* It is read on after 10 ms, and left alone for a second. */
START_TEST(a_restless_connection_stays)
{
    int fd = follower();

    atomic_store(&restless, true);
    atomic_store(&wanted, 1);
    ping_until(fd, was_asked_twice);
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.moved, 0);
    ck_assert_uint_ge(all.moves_given_up, 1);
    ck_assert_uint_le(all.moves_given_up, 2);
    ck_assert_uint_eq(atomic_load(&times_left), 0);
}
END_TEST

START_TEST(without_memory_it_stays_or_ends)
{
    int fd = follower();

    atomic_store(&cannot_leave, true);
    atomic_store(&wanted, 1);
    ping_until(fd, was_asked_twice);
    look_at_both();
    ck_assert_uint_eq(there[0], 1);
    atomic_store(&cannot_join, true);
    atomic_store(&cannot_leave, false);
    for (char c; send(fd, "E\0\0\0", 4, MSG_NOSIGNAL) == 4 && recv(fd, &c, 1, 0) > 0;)
        poll(NULL, 0, 1);
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.ended[NET_END_MEMORY], 1);
    ck_assert_uint_eq(all.moved, 1);
    ck_assert_uint_ge(all.moves_given_up, 1);
}
END_TEST

static bool has_come_back(void)
{
    return atomic_load(&joined) >= 2;
}

/* With limits that are not those of new connections any more, which it goes on holding: what it
 * has for the other worker must not be left in it. Else it would think it is there. */
START_TEST(without_memory_to_go_it_comes_back)
{
    int fd = follower();
    struct net_options o = usual;

    o.door.frame_max--;
    ck_assert_int_eq(net_configure(net, &o), 0);
    atomic_store(&cannot_call, true);
    atomic_store(&wanted, 1);
    ping_until(fd, has_come_back);
    look_at_both();
    ck_assert_uint_eq(there[0], 1);
    atomic_store(&cannot_call, false);
    ping_until(fd, is_there);
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.moved, 1);
    ck_assert_uint_ge(all.moves_given_up, 2);
}
END_TEST

START_TEST(spread_connections_stay)
{
    int fd = follower();

    workers_set_placement(workers, PLACEMENT_SPREAD);
    atomic_store(&wanted, 1);
    for (uint8_t i = 0; i < 100; i++)
        ping(fd, i);
    close(fd);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.moved + all.moves_given_up, 0);
}
END_TEST

/* A connection on its way must not slip through between two workers. */
START_TEST(all_close_while_they_move)
{
    enum { N = 8 };
    char buf[64];
    int fd[N];

    fd[0] = follower();
    for (int i = 1; i < N; i++) {
        fd[i] = client();
        command(fd[i], "hello");
        get(fd[i], (char[9]){0}, 9);
    }
    atomic_store(&wanted, 1);
    for (int i = 0; i < N; i++)
        command(fd[i], "hello");
    ck_assert_int_eq(net_drain(net), 0);
    ck_assert_int_eq(net_close_all(net, 0), 0);
    for (int i = 0; i < N; i++) {
        while (recv(fd[i], buf, sizeof buf, 0) > 0)
            ;
        close(fd[i]);
    }
    wait_for(nobody_there);
    end();
}
END_TEST

/* ---- administration and the end */

struct seen {
    unsigned n;
    uint64_t id;
    char peer[PEER_TEXT_MAX], door[16], state[16];
};

static void see(void *ctx, const struct net_conn_info *info)
{
    struct seen *s = ctx;

    s->n++;
    s->id = info->id;
    snprintf(s->peer, sizeof s->peer, "%s", info->peer);
    snprintf(s->door, sizeof s->door, "%s", info->door);
    snprintf(s->state, sizeof s->state, "%s", info->state);
}

static struct seen seen;
static atomic_bool looked;

static void look_and_kill(void *arg, struct worker *w)
{
    (void)arg;
    net_each_connection(net, worker_id(w), see, &seen);
    if (net_kill(net, seen.id) == 0 && net_kill(net, seen.id) == -ENOENT)
        atomic_store(&looked, true);
}

static bool has_looked(void)
{
    return atomic_load(&looked);
}

/* ---- connections of one name are on one worker */

START_TEST(those_of_a_name_are_together)
{
    unsigned homes[4] = {0};

    begin(4, &usual);
    for (int name = 0; name < 16; name++) {
        char word[16], first = '\0';

        snprintf(word, sizeof word, "at %d", name);
        for (int i = 0; i < 4; i++) {
            uint8_t in[128] = {0};
            size_t n = frame(in, strlen(word), 0), cut = i == 1 ? 2 : i == 2 ? 6 : n;
            char at[3] = "";
            int fd = client();

            memcpy(in + ECHO_HEAD, word, strlen(word));
            put(fd, in, cut);
            put(fd, in + cut, n - cut);
            command(fd, "quit"); /* with the first bytes, or behind them */
            get(fd, at, 2);
            ck_assert_int_eq(at[0], '@');
            ck_assert(!first || first == at[1]);
            first = at[1];
            get_text(fd, "bye!");
            get_end(fd, true);
        }
        homes[first - '0']++;
    }
    wait_for(nobody_there);
    end();
    ck_assert_uint_gt(all.moved, 0);
    ck_assert_uint_eq(all.ended[NET_END_ASKED], 64);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_lt(homes[i], 16);
}
END_TEST

START_TEST(much_may_come_with_the_name)
{
    size_t n = 0, sizes[] = {4, 60000, 60000, 90000};
    uint8_t *in = malloc(400000), *back = malloc(400000);
    struct net_options o = usual;

    begin(4, &o);
    for (int name = 0; name < 8; name++) {
        int fd = client();

        n = 0;
        for (unsigned i = 0; i < 4; i++)
            n += frame(in + n, sizes[i], (uint8_t)i);
        snprintf((char *)in + ECHO_HEAD, 5, "at %u", (unsigned)name % 10);
        in[ECHO_HEAD + 4] = 'E';
        put(fd, in, n);
        get(fd, back, 2 + n - ECHO_HEAD - 4);
        ck_assert(memcmp(back + 2, in + ECHO_HEAD + 4, n - ECHO_HEAD - 4) == 0);
        command(fd, "quit");
        get_text(fd, "bye!");
        get_end(fd, true);
    }
    wait_for(nobody_there);
    end();
    free(in);
    free(back);
}
END_TEST

/* What is too large for a first message comes right behind the one that ends the handshake: there,
 * where that is looked at. */
START_TEST(a_websocket_goes_home_once)
{
    enum { LARGE = 100000 };
    uint8_t *p = malloc(LARGE + 64), *body = calloc(1, LARGE), *back = malloc(LARGE), b0;
    unsigned homes[4] = {0};

    begin(4, &usual);
    for (int name = 0; name < 16; name++) {
        char word[32];
        int fd = websocket();
        size_t n;

        snprintf(word, sizeof word, "at a WebSocket's %d", name);
        n = ws_frame(p, 0x82, word, strlen(word));
        n += ws_frame(p + n, 0x82, body, LARGE);
        put(fd, p, n);
        ck_assert_uint_eq(ws_get(fd, &b0, back), 1);
        homes[back[0] - '0']++;
        ck_assert_uint_eq(ws_get(fd, &b0, back), LARGE);
        ws_command(fd, "quit");
        ws_closed(fd, 1000);
    }
    wait_for(nobody_there);
    end();
    ck_assert_uint_gt(all.moved, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_lt(homes[i], 16);
    free(p);
    free(body);
    free(back);
}
END_TEST

START_TEST(without_memory_to_go_home_it_ends)
{
    int left = 0;

    begin(4, &usual);
    atomic_store(&cannot_call, true);
    for (int name = 0; name < 16; name++) {
        char word[16], at[2];
        int fd = client();

        snprintf(word, sizeof word, "at %d", name);
        command(fd, word);
        if (recv(fd, at, 2, MSG_WAITALL) == 2)
            left++; /* it was there already */
        close(fd);
    }
    wait_for(nobody_there);
    atomic_store(&cannot_call, false);
    end();
    ck_assert_int_lt(left, 16);
    ck_assert_uint_eq(all.ended[NET_END_MEMORY], (unsigned)(16 - left));
}
END_TEST

START_TEST(connections_are_listed_and_killed)
{
    int fd;

    begin(1, &usual);
    fd = client();
    command(fd, "hello");
    get_text(fd, "E");
    get(fd, (char[8]){0}, 8);
    ck_assert_int_eq(workers_call(workers, 0, look_and_kill, NULL), 0);
    wait_for(has_looked);
    get_end(fd, false);
    end();
    ck_assert_uint_eq(seen.n, 1);
    ck_assert_uint_eq(net_connection_worker(seen.id), 0);
    ck_assert(strncmp(seen.peer, "127.0.0.1:", 10) == 0);
    ck_assert_str_eq(seen.door, "echo");
    ck_assert_str_eq(seen.state, "open");
    ck_assert_uint_eq(all.ended[NET_END_KILLED], 1);
}
END_TEST

static const int64_t evict_over_ms[] = {0, 200};

enum { DRAINED = 20 };

static bool all_there(void)
{
    return net_connections(net) == DRAINED + 1;
}

START_TEST(drains_and_closes)
{
    enum { N = DRAINED };
    int fd[N], idle;

    begin(3, &usual);
    for (int i = 0; i < N; i++) {
        fd[i] = client();
        command(fd[i], "");
        get(fd[i], (char[4]){0}, 4);
    }
    idle = client();
    wait_for(all_there);
    atomic_store(&drains, 0);
    ck_assert_int_eq(net_drain(net), 0);
    get_end(idle, false); /* has no handshake: nothing is lost */
    for (int i = 0; i < N; i++)
        get_text(fd[i], "drain");
    command(fd[0], ""); /* who is there may go on for a while */
    get(fd[0], (char[4]){0}, 4);
    ck_assert_int_eq(net_close_all(net, evict_over_ms[_i]), 0);
    for (int i = 0; i < N; i++)
        get_end(fd[i], true);
    wait_for(nobody_there);
    end();
    ck_assert_uint_eq(all.ended[NET_END_DRAINED], N + 1);
    ck_assert_uint_eq(atomic_load(&drains), 3);
}
END_TEST

START_TEST(connections_left_at_the_end_are_freed)
{
    int fd[3];

    begin(2, &usual);
    for (int i = 0; i < 3; i++) {
        fd[i] = client();
        command(fd[i], "hello");
        get_text(fd[i], "E");
    }
    put(fd[0], "E\0", 2);
    end();
    for (int i = 0; i < 3; i++)
        close(fd[i]);
}
END_TEST

START_TEST(new_limits_for_new_connections)
{
    struct net_options o = usual;
    uint8_t p[300];
    int old, fd;

    begin(2, &usual);
    old = client();
    command(old, "hello");
    get_text(old, "E");
    get(old, (char[8]){0}, 8);
    o.door.first_frame_max = 100;
    ck_assert_int_eq(net_configure(net, &o), 0);
    ck_assert_int_eq(net_configure(net, &o), 0);
    for (int i = 0; i < 2; i++) { /* one on each worker */
        fd = client();
        frame(p, 200, 'x');
        put(fd, p, 150);
        get_end(fd, false);
    }
    exchange(old, p, frame(p, 200, 'x'), 1000);
    close(old);
    end();
    ck_assert_uint_eq(all.ended[NET_END_FIRST_SIZE], 2);
}
END_TEST

START_TEST(an_idle_connection_is_small)
{
    ck_assert_uint_lt(sizeof(struct conn), 640);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net");
    TCase *tc = tcase_create("net");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 2 * PATIENCE_MS / 1000);
    tcase_add_loop_test(tc, frames_come_back, 0, (int)(sizeof cuts / sizeof cuts[0]));
    tcase_add_test(tc, first_bytes_tell);
    tcase_add_test(tc, a_listener_may_be_narrowed);
    tcase_add_test(tc, the_first_frame_must_come_in_time);
    tcase_add_test(tc, the_first_frame_has_a_limit);
    tcase_add_test(tc, last_words_survive_unread_input);
    tcase_add_test(tc, who_lingers_too_long_is_cut_off);
    tcase_add_test(tc, who_does_not_take_answers_is_not_read);
    tcase_add_test(tc, who_takes_long_is_read_little_by_little);
    tcase_add_test(tc, who_is_not_read_is_not_silent);
    tcase_add_test(tc, who_asked_for_much_is_not_read_until_it_is_done);
    tcase_add_loop_test(tc, who_is_paused_is_not_read, 0, 2);
    tcase_add_test(tc, messages_come_back);
    tcase_add_test(tc, a_carried_door_pauses);
    tcase_add_test(tc, a_websocket_is_told_why_it_ends);
    tcase_add_test(tc, connections_have_a_limit);
    tcase_add_test(tc, without_descriptors_others_go_on);
    tcase_add_test(tc, unix_sockets);
    tcase_add_test(tc, an_address_in_use_is_told);
    tcase_add_test(tc, sockets_are_taken_over);
    tcase_add_test(tc, a_connection_moves);
    tcase_add_test(tc, a_connection_moves_under_load);
    tcase_add_test(tc, a_restless_connection_stays);
    tcase_add_test(tc, without_memory_it_stays_or_ends);
    tcase_add_test(tc, without_memory_to_go_it_comes_back);
    tcase_add_test(tc, spread_connections_stay);
    tcase_add_test(tc, all_close_while_they_move);
    tcase_add_test(tc, those_of_a_name_are_together);
    tcase_add_test(tc, much_may_come_with_the_name);
    tcase_add_test(tc, a_websocket_goes_home_once);
    tcase_add_test(tc, without_memory_to_go_home_it_ends);
    tcase_add_test(tc, connections_are_listed_and_killed);
    tcase_add_loop_test(tc, drains_and_closes, 0, 2);
    tcase_add_test(tc, connections_left_at_the_end_are_freed);
    tcase_add_test(tc, new_limits_for_new_connections);
    tcase_add_test(tc, an_idle_connection_is_small);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
