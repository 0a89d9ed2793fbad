/* Connecting, being refused, losing the connection, coming back, closing. */
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>

#include "tests/unit/client/fake.h"

static char states[512]; /* of one client, as letters and codes */

static void note(broker *b, const struct broker_event *ev, void *user)
{
    static const char *const names[] = {"idle", "connecting", "connected",
                                        "lost", "waiting",    "closed"};
    size_t n = strlen(states);

    (void)b;
    (void)user;
    if (ev->error)
        snprintf(states + n, sizeof states - n, "%s:%s ", names[ev->state],
                 broker_errname(ev->error));
    else
        snprintf(states + n, sizeof states - n, "%s ", names[ev->state]);
}

static const struct broker_options noted = {
    .on_state = note, .reconnect_min_ms = 1, .reconnect_max_ms = 4};

START_TEST(says_who_it_is)
{
    struct fake k;
    struct broker_options o = noted;
    struct slice rest;
    struct composite_item item;

    states[0] = '\0';
    fake_init(&k);
    o.name = "unit test";
    o.data_type = "application/json";
    o.keepalive_ms = 1234;
    o.lifetime_ms = 5678;
    fake_client(&k, &o);
    ck_assert_int_eq(broker_connect(k.client, 0), BROKER_OK);
    fake_accept(&k);
    ck_assert_uint_eq(k.f.setup.keepalive_ms, 1234);
    ck_assert_uint_eq(k.f.setup.lifetime_ms, 5678);
    ck_slice(k.f.setup.data_mime, "application/json");
    rest = k.f.metadata;
    ck_assert_int_eq(composite_next(&rest, &item), 1);
    ck_slice(header_of(&k.f, "name"), "unit test");
    ck_assert_int_eq(broker_state(k.client), BROKER_STATE_CONNECTING);
    fake_next(&k);
    ck_assert_int_eq(k.f.type, RS_KEEPALIVE);
    ck_assert(k.f.flags & RS_RESPOND);
    say(&k, &(struct rs_frame){.type = RS_KEEPALIVE});
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CONNECTED);
    ck_assert_str_eq(states, "connecting connected ");
    broker_free(k.client);
    ck_assert_str_eq(states, "connecting connected closed ");
    fake_fini(&k);
}
END_TEST

START_TEST(comes_back)
{
    struct fake k;

    states[0] = '\0';
    fake_init(&k);
    fake_connected(&k, &noted);
    fake_hang_up(&k);
    fake_welcome(&k);
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CONNECTED);
    ck_assert_str_eq(states,
                     "connecting connected lost:DISCONNECTED waiting connecting connected ");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(stays_away_when_told)
{
    struct fake k;
    struct broker_options o = noted;

    states[0] = '\0';
    fake_init(&k);
    o.no_reconnect = true;
    fake_connected(&k, &o);
    fake_hang_up(&k);
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CLOSED);
    ck_assert_str_eq(states, "connecting connected lost:DISCONNECTED closed:DISCONNECTED ");
    ck_assert_int_eq(broker_process(k.client), BROKER_CLOSED);
    ck_assert_int_eq(broker_publish(k.client, "a", "", 0, NULL), BROKER_CLOSED);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(nobody_there)
{
    struct fake k;
    struct broker_options o = noted;
    broker *b;

    states[0] = '\0';
    fake_init(&k);
    close(k.listener); /* the port is free, and refuses */
    o.max_attempts = 3;
    b = fake_client(&k, &o);
    ck_assert_int_eq(broker_connect(b, 5000), BROKER_UNREACHABLE);
    ck_assert_str_eq(states,
                     "connecting lost:UNREACHABLE waiting connecting lost:UNREACHABLE waiting "
                     "connecting lost:UNREACHABLE closed:UNREACHABLE ");
    ck_assert_ptr_nonnull(strstr(broker_errmsg(b), "refused"));
    ck_assert_ptr_nonnull(strstr(broker_errmsg(b), k.url));
    broker_free(b);
}
END_TEST

START_TEST(tries_the_next_address)
{
    struct fake dead, k;
    struct broker_options o = noted;
    char urls[200];

    fake_init(&dead);
    close(dead.listener);
    fake_init(&k);
    snprintf(urls, sizeof urls, "%s, %s", dead.url, k.url);
    o.url = urls;
    o.reconnect_min_ms = o.reconnect_max_ms = 60000; /* within a round there is no delay */
    fake_connected(&k, &o);
    ck_assert_str_eq(broker_url(k.client), k.url);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

/* What the client calls, in place of libc's: broker.test is known on any machine, even on one whose
 * hosts file does not know localhost. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    __typeof__(&getaddrinfo) libc;

    *(void **)&libc = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!(hints->ai_flags & AI_NUMERICHOST) && strcmp(host, "broker.test") == 0)
        host = "127.0.0.1";
    return libc(host, port, hints, ret);
}

/* A name is looked up on a thread. */
START_TEST(looks_names_up)
{
    struct fake k;
    struct broker_options o = noted;
    char url[64];

    fake_init(&k);
    snprintf(url, sizeof url, "tcp://broker.test:%s", strrchr(k.url, ':') + 1);
    o.url = url;
    o.no_reconnect = true;
    fake_connected(&k, &o);
    ck_assert_str_eq(broker_url(k.client), url);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

/* One that is looked up when the handle goes: nothing is lost, nobody is waited for. */
START_TEST(leaves_a_lookup_behind)
{
    struct broker_options o = noted;
    broker *b;

    o.url = "tcp://no-such-host.invalid:1";
    ck_assert_int_eq(broker_new(&o, &b, NULL, 0), BROKER_OK);
    ck_assert_int_eq(broker_connect(b, 0), BROKER_OK);
    broker_free(b);
}
END_TEST

START_TEST(refused_for_good)
{
    struct fake k;

    states[0] = '\0';
    fake_init(&k);
    fake_client(&k, &noted);
    ck_assert_int_eq(broker_connect(k.client, 0), BROKER_OK);
    fake_accept(&k);
    say_error(&k, 0, RS_UNSUPPORTED_SETUP, "invalid: no such version");
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CLOSED);
    ck_assert_str_eq(states, "connecting lost:SETUP_REFUSED closed:SETUP_REFUSED ");
    ck_assert_str_eq(broker_errmsg(k.client), "invalid: no such version");
    ck_assert_int_eq(broker_connect(k.client, 0), BROKER_CLOSED);
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(keeps_alive)
{
    struct fake k;
    struct broker_options o = noted;

    fake_init(&k);
    o.keepalive_ms = 5;
    fake_connected(&k, &o);
    for (int i = 0; i < 3; i++) {
        want(&k, RS_KEEPALIVE);
        ck_assert(k.f.flags & RS_RESPOND);
    }
    say(&k, &(struct rs_frame){.type = RS_KEEPALIVE, .flags = RS_RESPOND, .data = SLICE("ping")});
    do
        want(&k, RS_KEEPALIVE);
    while (k.f.flags & RS_RESPOND);
    ck_slice(k.f.data, "ping");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(hears_nothing)
{
    struct fake k;
    struct broker_options o = noted;

    states[0] = '\0';
    fake_init(&k);
    o.lifetime_ms = 50;
    o.no_reconnect = true;
    fake_connected(&k, &o);
    k.mute = true;
    want(&k, RS_ERROR);
    ck_assert_uint_eq(k.f.number, RS_CONNECTION_ERROR);
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CLOSED);
    ck_assert_str_eq(states, "connecting connected lost:KEEPALIVE closed:KEEPALIVE ");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(nonsense_from_the_broker)
{
    static const uint8_t bad[] = {0, 0, 2, 1, 2};
    struct fake k;
    struct broker_options o = noted;

    states[0] = '\0';
    fake_init(&k);
    o.no_reconnect = true;
    fake_connected(&k, &o);
    fake_send(&k, bad, sizeof bad);
    want(&k, RS_ERROR);
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CLOSED);
    ck_assert_str_eq(states, "connecting connected lost:PROTOCOL closed:PROTOCOL ");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(moves_on_when_the_broker_stops)
{
    struct fake k;

    states[0] = '\0';
    fake_init(&k);
    fake_connected(&k, &noted);
    say_error(&k, 0, RS_CONNECTION_CLOSE, "draining: about to stop");
    fake_welcome(&k);
    fake_until(&k, broker_state(k.client) == BROKER_STATE_CONNECTED);
    ck_assert_str_eq(states, "connecting connected lost:DRAINING waiting connecting connected ");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

/* Read to the client's end, as a broker does, and only then end our side. */
static void *read_to_end(void *arg)
{
    struct fake *k = arg;
    size_t n = 0;
    ssize_t r;

    while ((r = recv(k->fd, k->in + k->in_n, k->in_cap - k->in_n, 0)) > 0) {
        k->in_n += (size_t)r;
        n += (size_t)r;
    }
    shutdown(k->fd, SHUT_WR);
    return r == 0 && n > 0 ? k : NULL;
}

START_TEST(closes_in_order)
{
    struct fake k;
    pthread_t thread;
    void *whole = NULL;
    int64_t started = fake_now();

    states[0] = '\0';
    fake_init(&k);
    fake_connected(&k, &noted);
    ck_assert_int_eq(broker_publish(k.client, "last.words", "x", 1, NULL), BROKER_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, read_to_end, &k), 0);
    ck_assert_int_eq(broker_close(k.client, 5000), BROKER_OK);
    ck_assert_int_lt(fake_now() - started, 900); /* the end was seen, not waited for */
    pthread_join(thread, &whole);
    ck_assert_ptr_nonnull(whole);
    ck_assert_str_eq(states, "connecting connected closed ");
    want(&k, RS_REQUEST_FNF);
    ck_slice(tag_of(&k.f, 0), "publish/last.words");
    broker_free(k.client);
    fake_fini(&k);
}
END_TEST

START_TEST(options_are_checked)
{
    static const struct {
        struct broker_options o;
        int answer;
        const char *text;
    } rows[] = {
        {{.url = "tcp://127.0.0.1"}, BROKER_OK, ""},
        {{.url = "tcp://[::1]:7070 unix:///tmp/x"}, BROKER_OK, ""},
        {{.url = "tcp://h:7070/"}, BROKER_OK, ""},
        {{.url = "tls://h"}, BROKER_UNSUPPORTED, "tls://h"},
        {{.url = "wss://h"}, BROKER_UNSUPPORTED, "wss://h"},
        {{.url = "http://h"}, BROKER_INVALID, "http://h"},
        {{.url = "tcp://"}, BROKER_INVALID, "tcp://"},
        {{.url = "tcp://h:"}, BROKER_INVALID, "tcp://h:"},
        {{.url = "tcp://h:0"}, BROKER_INVALID, "tcp://h:0"},
        {{.url = "tcp://h:70000"}, BROKER_INVALID, "70000"},
        {{.url = "tcp://[::1"}, BROKER_INVALID, "[::1"},
        {{.url = "unix://relative"}, BROKER_INVALID, "relative"},
        {{.url = ", "}, BROKER_INVALID, "no address"},
        {{.max_frame = 63}, BROKER_INVALID, "max_frame"},
        {{.reconnect_min_ms = 5, .reconnect_max_ms = 4}, BROKER_INVALID, "reconnect_min_ms"},
        {{.data_type = "\x01"}, BROKER_INVALID, "content type"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        broker *b = NULL;
        int r = broker_new(&rows[i].o, &b, text, sizeof text);

        ck_assert_msg(r == rows[i].answer, "row %zu: %d", i, r);
        ck_assert_msg(strstr(text, rows[i].text) != NULL, "row %zu: %s", i, text);
        broker_free(b);
    }
}
END_TEST

START_TEST(words)
{
    ck_assert_str_eq(broker_strerror(BROKER_OK), "success");
    ck_assert_str_eq(broker_errname(BROKER_DRAINING), "DRAINING");
    ck_assert_str_eq(broker_errname(-1000), "UNKNOWN");
    ck_assert_str_eq(broker_strerror(7), "unknown error");
    ck_assert_str_eq(broker_reason_word(BROKER_REASON_DROP_OLDEST), "drop-oldest");
    ck_assert_str_eq(broker_reason_word(-4), "unknown");
    ck_assert_int_eq(broker_reason_of("full: queue \"x\" is full"), BROKER_REASON_FULL);
    ck_assert_int_eq(broker_reason_of("no-match"), BROKER_REASON_NO_MATCH);
    ck_assert_int_eq(broker_reason_of("fuller: x"), BROKER_REASON_NONE);
    ck_assert_int_eq(broker_reason_of(NULL), BROKER_REASON_NONE);
    ck_assert_str_eq(broker_version(), "0.1.0");
}
END_TEST

int main(void)
{
    const TTest *tests[] = {says_who_it_is,
                            comes_back,
                            stays_away_when_told,
                            nobody_there,
                            tries_the_next_address,
                            looks_names_up,
                            leaves_a_lookup_behind,
                            refused_for_good,
                            keeps_alive,
                            hears_nothing,
                            nonsense_from_the_broker,
                            moves_on_when_the_broker_stops,
                            closes_in_order,
                            options_are_checked,
                            words,
                            NULL};

    return run_tests("client/connect", tests);
}
