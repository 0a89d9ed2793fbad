/* Commands that answer calls: what goes in and out, what they are told, how they end. */
#include <signal.h>

#include "libbroker/cli/job.h"
#include "libbroker/cli/spawn.h"
#include "tests/unit/client/fake.h"

static const struct cli cli = {.title = "test"};

/* A client that serves "run", and the fake on the other side. */
struct served {
    struct fake k;
    broker_service *service;
    struct job_kind kind;
    struct job *job;
};

static void start(struct served *s, const char *const *argv)
{
    struct broker_serve_options o = {.manual_credit = true,
                                     .on_message = job_on_message,
                                     .on_complete = job_on_complete,
                                     .on_end = job_on_end};

    signal(SIGPIPE, SIG_IGN);
    memset(s, 0, sizeof *s);
    fake_init(&s->k);
    fake_connected(&s->k, NULL);
    ck_assert_int_eq(broker_serve(s->k.client, "run", &o, &s->service), BROKER_OK);
    want(&s->k, RS_REQUEST_RESPONSE);
    say_data(&s->k, s->k.f.stream, RS_COMPLETE, SLICE(""));
    s->kind = (struct job_kind){
        .cli = &cli, .argv = (char *const *)(uintptr_t)argv, .max_message = 100000};
}

static void stop(struct served *s)
{
    job_free(s->job);
    broker_free(s->k.client);
    fake_fini(&s->k);
}

/* A call on stream 2 becomes a job. */
static void call(struct served *s, uint8_t type, uint32_t n, uint16_t flags, const char *text)
{
    struct rs_frame f = {.stream = 2, .type = type, .number = n, .flags = flags};
    uint8_t metadata[400], header[200], *p = metadata, *end;
    struct mime mime = {MIME_UNKNOWN, SLICE(HEADERS_MIME)};
    broker_call *c = NULL;

    p = composite_put_route(p, SLICE("call/run/it/now"));
    end = headers_put(header, SLICE("x-y"), SLICE("$(false); `false`"));
    p = composite_put(p, &mime, slice_of(header, (size_t)(end - header)));
    f.has_metadata = true;
    f.metadata = slice_of(metadata, (size_t)(p - metadata));
    f.data = slice_str(text);
    say(&s->k, &f);
    ck_assert_int_eq(broker_service_next(s->service, 5000, &c), BROKER_OK);
    s->job = job_start(&s->kind, c);
    ck_assert_ptr_nonnull(s->job);
}

/* Let the job and its client work until something happens, at most `ms`. */
static bool work(struct served *s, int ms)
{
    struct pollfd fds[1 + JOB_FDS] = {{.fd = broker_fd(s->k.client), .events = POLLIN}};
    int due;

    if (job_step(s->job))
        return true;
    due = job_waits(s->job, fds + 1);
    (void)poll(fds, 1 + JOB_FDS, due >= 0 && due < ms ? due : ms);
    (void)broker_process(s->k.client);
    return false;
}

static void until_over(struct served *s)
{
    int64_t end = fake_now() + 10000;

    while (!work(s, 20))
        ck_assert_msg(fake_now() < end, "the job does not end");
    (void)broker_process(s->k.client);
}

/* What the client says next, the job at work meanwhile. */
static const struct rs_frame *hear(struct served *s, enum rs_type type)
{
    struct pollfd p = {.fd = s->k.fd, .events = POLLIN};
    int64_t end = fake_now() + 10000;

    while (s->k.in_n == s->k.used && poll(&p, 1, 0) == 0) {
        ck_assert_msg(fake_now() < end, "nothing comes");
        ck_assert(!work(s, 10));
    }
    return want(&s->k, type);
}

/* The job is given time to do what it should not, and the client has nothing to say. */
static void hear_nothing(struct served *s)
{
    int64_t end = fake_now() + 50;

    while (fake_now() < end)
        ck_assert(!work(s, 10));
    say(&s->k, &(struct rs_frame){.type = RS_KEEPALIVE, .flags = RS_RESPOND});
    want(&s->k, RS_KEEPALIVE);
}

START_TEST(answers_a_request)
{
    static const char *const argv[] = {"tr", "a-z", "A-Z", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_RESPONSE, 0, 0, "hello; world");
    until_over(&s);
    want(&s.k, RS_PAYLOAD);
    ck_slice(s.k.f.data, "HELLO; WORLD");
    ck_assert_uint_eq(s.k.f.flags & RS_COMPLETE, RS_COMPLETE);
    ck_assert_str_eq(job_result(s.job).word, "done");
    stop(&s);
}
END_TEST

START_TEST(tells_the_command_what_is_called)
{
    static const char *const argv[] = {
        "sh", "-c",
        "printf '%s|' \"$BROKER_SERVICE\" \"$BROKER_METHOD\" \"$BROKER_MODEL\" "
        "\"$BROKER_CONTENT_TYPE\" \"$BROKER_HEADER_X_Y\"",
        NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_RESPONSE, 0, 0, "");
    until_over(&s);
    ck_slice(want(&s.k, RS_PAYLOAD)->data,
             "run|it/now|request|application/octet-stream|$(false); `false`|");
    stop(&s);
}
END_TEST

START_TEST(names_headers_so_that_nothing_else_reads_them)
{
    static const char *const rows[][3] = {
        {"x-y", "v", "BROKER_HEADER_X_Y=v"},
        {"LD_PRELOAD", "/x", "BROKER_HEADER_LD_PRELOAD=/x"},
        {"a=b", "c=d", "BROKER_HEADER_A_B=c=d"},
        {"\xc3\xa4", "", "BROKER_HEADER___="},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = spawn_header_text(rows[i][0], rows[i][1]);

        ck_assert_str_eq(text, rows[i][2]);
        free(text);
    }
}
END_TEST

START_TEST(fails_with_the_last_line_of_stderr)
{
    static const char *const argv[] = {
        "sh", "-c", "echo some; echo first >&2; echo 'last one' >&2; exit 3", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_RESPONSE, 0, 0, "");
    until_over(&s);
    want(&s.k, RS_ERROR);
    ck_assert_uint_eq(s.k.f.number, RS_APPLICATION_ERROR);
    ck_slice(s.k.f.data, "last one");
    ck_assert_int_eq(job_result(s.job).exit_status, 3);
    ck_assert_str_eq(job_result(s.job).word, "failed");
    stop(&s);
}
END_TEST

START_TEST(says_how_it_ended_where_stderr_does_not)
{
    static const char *const argv[] = {"sh", "-c", "kill -9 $$", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_STREAM, 1, 0, "");
    until_over(&s);
    ck_slice(want(&s.k, RS_ERROR)->data, "killed by signal 9");
    ck_assert_int_eq(job_result(s.job).exit_status, 137);
    stop(&s);
}
END_TEST

START_TEST(cannot_be_started)
{
    static const char *const argv[] = {"/does/not/exist", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_RESPONSE, 0, 0, "");
    until_over(&s);
    want(&s.k, RS_ERROR);
    ck_assert_uint_eq(s.k.f.number, RS_REJECTED); /* another server may do better */
    stop(&s);
}
END_TEST

START_TEST(streams_by_credit)
{
    static const char *const argv[] = {"seq", "3", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_STREAM, 1, 0, "");
    ck_slice(hear(&s, RS_PAYLOAD)->data, "1");
    hear_nothing(&s); /* one may go, and no more */
    say_n(&s.k, 2, 2);
    until_over(&s); /* its end needs no credit */
    ck_slice(want(&s.k, RS_PAYLOAD)->data, "2");
    ck_slice(want(&s.k, RS_PAYLOAD)->data, "3");
    ck_assert_uint_eq(want(&s.k, RS_PAYLOAD)->flags, RS_COMPLETE);
    ck_assert_uint_eq(job_result(s.job).answers, 3);
    stop(&s);
}
END_TEST

/* The command itself waits, once the pipe is full: it does not print into our memory. */
START_TEST(stops_reading_without_credit)
{
    static const char *const argv[] = {"yes", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_STREAM, 10, 0, "");
    for (int i = 0; i < 10; i++)
        ck_slice(hear(&s, RS_PAYLOAD)->data, "y");
    hear_nothing(&s);
    say(&s.k, &(struct rs_frame){.stream = 2, .type = RS_CANCEL});
    until_over(&s);
    ck_assert_str_eq(job_result(s.job).word, "canceled");
    stop(&s);
}
END_TEST

START_TEST(talks_on_a_channel)
{
    static const char *const argv[] = {"sed", "-u", "s/^/got /", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_CHANNEL, 10, 0, "one");
    ck_assert_uint_eq(hear(&s, RS_REQUEST_N)->number, JOB_CREDIT);
    ck_slice(hear(&s, RS_PAYLOAD)->data, "got one");
    say_text(&s.k, 2, "two");
    ck_assert_uint_eq(hear(&s, RS_REQUEST_N)->number, 1); /* the pipe has taken the line */
    ck_slice(hear(&s, RS_PAYLOAD)->data, "got two");
    say_data(&s.k, 2, RS_NEXT | RS_COMPLETE, SLICE("three"));
    until_over(&s);
    ck_slice(want(&s.k, RS_PAYLOAD)->data, "got three");
    ck_assert_uint_eq(want(&s.k, RS_PAYLOAD)->flags, RS_COMPLETE);
    stop(&s);
}
END_TEST

/* A command that does not read is sent no more than may wait for it. */
START_TEST(asks_for_no_more_than_is_read)
{
    static const char *const argv[] = {"sh", "-c", "sleep 100", NULL};
    static char large[80000];
    struct served s;

    memset(large, 'x', sizeof large - 1);
    start(&s, argv);
    call(&s, RS_REQUEST_CHANNEL, 10, 0, "");
    hear(&s, RS_REQUEST_N);
    for (int i = 0; i < 3; i++)
        say_text(&s.k, 2, large);
    hear_nothing(&s); /* no REQUEST_N */
    say(&s.k, &(struct rs_frame){.stream = 2, .type = RS_CANCEL});
    until_over(&s);
    stop(&s);
}
END_TEST

START_TEST(kills_what_does_not_want_to_end)
{
    static const char *const argv[] = {"sh", "-c",
                                       "trap '' TERM; echo ready; while :; do sleep 1; done", NULL};
    struct served s;
    int64_t begin;

    start(&s, argv);
    call(&s, RS_REQUEST_STREAM, 5, 0, "");
    ck_slice(hear(&s, RS_PAYLOAD)->data, "ready");
    begin = fake_now();
    say(&s.k, &(struct rs_frame){.stream = 2, .type = RS_CANCEL});
    until_over(&s);
    ck_assert_int_ge(fake_now() - begin, JOB_GRACE_MS);
    ck_assert_int_eq(job_result(s.job).exit_status, 137);
    stop(&s);
}
END_TEST

/* What it leaves behind with its pipes open does not hold up the answer. */
START_TEST(leaves_a_child_behind)
{
    static const char *const argv[] = {"sh", "-c", "sleep 100 & echo $!", NULL};
    char text[16] = "";
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_RESPONSE, 0, 0, "");
    until_over(&s);
    want(&s.k, RS_PAYLOAD);
    ck_assert_uint_lt(s.k.f.data.n, sizeof text);
    memcpy(text, s.k.f.data.p, s.k.f.data.n);
    ck_assert_int_gt(atoi(text), 1);
    ck_assert_int_eq(kill(atoi(text), SIGKILL), 0); /* it was still there */
    stop(&s);
}
END_TEST

START_TEST(says_too_much)
{
    static const char *const argv[] = {"head", "-c", "100000000", "/dev/zero", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_RESPONSE, 0, 0, "");
    until_over(&s);
    want(&s.k, RS_ERROR);
    ck_assert_int_eq(strncmp((const char *)s.k.f.data.p, "too-large: ", 11), 0);
    stop(&s);
}
END_TEST

START_TEST(is_forgotten)
{
    static const char *const argv[] = {"cat", NULL};
    struct served s;

    start(&s, argv);
    call(&s, RS_REQUEST_FNF, 0, 0, "hello");
    until_over(&s);
    ck_assert_str_eq(job_result(s.job).word, "done");
    say(&s.k, &(struct rs_frame){.type = RS_KEEPALIVE, .flags = RS_RESPOND});
    want(&s.k, RS_KEEPALIVE); /* and nothing before it */
    stop(&s);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {answers_a_request,
                            tells_the_command_what_is_called,
                            names_headers_so_that_nothing_else_reads_them,
                            fails_with_the_last_line_of_stderr,
                            says_how_it_ended_where_stderr_does_not,
                            cannot_be_started,
                            streams_by_credit,
                            stops_reading_without_credit,
                            talks_on_a_channel,
                            asks_for_no_more_than_is_read,
                            kills_what_does_not_want_to_end,
                            leaves_a_child_behind,
                            says_too_much,
                            is_forgotten,
                            NULL};

    return run_tests("cli/job", tests);
}
