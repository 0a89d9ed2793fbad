/* Messages up: fire-and-forget, request-response, channels with confirms. */
#include "tests/unit/doors/fake_core.h"
#include "tests/unit/doors/talk.h"

/* ------------------------------------------------------------------------ fire and forget */

START_TEST(forget_shares_one_publisher)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> FNF 1 route=publish/a 'x'\n"
            "> FNF 3 route=publish/a 'y'\n"
            "> FNF 5 route=send/q 'z'\n"
            "> FNF 7 route=publish/a type=text/plain h=k:v 'u'\n"
            "> FNF 9 route=publish/a type=text/plain h=k:v 'v'\n"
            "= p1 opened forget\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 publish type=0x06 'y'\n"
            "= p1 publish queue=q type=0x06 'z'\n"
            "= p1 publish topic=a type=0x21 { headers=5 } 'u'\n"
            "= p1 publish type=0x21 { headers=5 } 'v'\n");
    talk_end(t);
}
END_TEST

START_TEST(forget_goes_in_runs)
{
    struct talk *t = talk_setup(false);

    fake.show_runs = true;
    talk(t, "> FNF 1 route=publish/a 'x'\n"
            "> FNF 3 route=publish/a 'y'\n"
            "> FNF 5 route=publish/a 'z'\n"
            "> KEEPALIVE 0\n"
            "> FNF 7 route=publish/a 'u'\n"
            "= p1 opened forget\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 publish type=0x06 'y' 'z'\n"
            "= p1 publish type=0x06 'u'\n");
    talk_end(t);
}
END_TEST

START_TEST(forget_is_never_answered)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> FNF 1 route=nowhere 'x'\n"
            "> FNF 3 'no route'\n"
            "> FNF 5 route=serve/s\n"
            "> FNF 7 route=call/s/m\n"
            "> FNF 9 route=subscribe/a\n"
            "> FNF 11 meta=fe0000ff00\n"
            "> FNF 13 route=publish/a h=$odd:1\n"
            "= serve service=s\n"
            "= call fnf service=s method=m credit=0\n"
            "= p1 opened forget\n");
    fake.fail = -EINVAL;
    fake.fail_text = "invalid: topic has an empty level";
    talk(t, "> FNF 15 route=publish/a..b 'x'\n"
            "> FNF 17 route=publish/a..b 'y'\n" /* names its target again */
            "= p1 publish topic=a..b type=0x06 'x'\n"
            "= p1 publish topic=a..b type=0x06 'y'\n");
    talk_end(t);
}
END_TEST

START_TEST(forget_in_fragments)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> FNF 1 FOLLOWS route=publish/a 'one'\n"
            "> FNF 3 route=publish/b 'between'\n"
            "> PAYLOAD 1 NEXT FOLLOWS ' two'\n"
            "> PAYLOAD 1 NEXT ' three'\n"
            "= p1 opened forget\n"
            "= p1 publish topic=b type=0x06 'between'\n"
            "= p1 publish topic=a type=0x06 'one two three'\n");
    talk_end(t);
}
END_TEST

/* -------------------------------------------------------------------------- request-response */

static const struct {
    struct outcome o;
    const char *heard;
} receipts[] = {
    {{1, 1, REASON_NONE, 2, 2, NULL}, "< PAYLOAD 1 NEXT COMPLETE hex=0000000200000002\n"},
    {{1, 1, REASON_DROP_NEWEST, 2, 1, NULL}, "< PAYLOAD 1 NEXT COMPLETE hex=0000000200000001\n"},
    {{1, 1, REASON_NO_MATCH, 0, 0, NULL}, "< PAYLOAD 1 NEXT COMPLETE hex=0000000000000000\n"},
    {{1, 1, REASON_FULL, 1, 0, "queue \"a\" is full"},
     "< ERROR 1 code=0x202 'full: queue \"a\" is full; 0 of 1 queues accepted'\n"},
    {{1, 1, REASON_FULL, 3, 1, "full: queue \"a\" is full"},
     "< ERROR 1 code=0x203 'full: queue \"a\" is full; 1 of 3 queues accepted'\n"},
    {{1, 1, REASON_STORE, 1, 0, "the journal of queue \"a\" takes nothing"},
     "< ERROR 1 code=0x202 'store: the journal of queue \"a\" takes nothing; 0 of 1 queues "
     "accepted'\n"},
    {{1, 1, REASON_TOO_LARGE, 0, 0, NULL},
     "< ERROR 1 code=0x204 'too-large: larger than max-message'\n"},
};

START_TEST(once_is_answered_when_settled)
{
    struct talk *t = talk_setup(_i % 2);

    talk(t, "> RR 1 route=publish/a 'x'\n"
            "= p1 opened once\n"
            "= p1 publish topic=a type=0x06 'x'\n");
    the_publisher(1)->open = false; /* a PUBLISH_ONCE is gone after it */
    settled(1, 1, &receipts[_i / 2].o, 1);
    talk(t, receipts[_i / 2].heard);
    talk(t, "> CANCEL 1\n"); /* late */
    talk_end(t);
}
END_TEST

START_TEST(once_may_require_a_match)
{
    struct talk *t = talk_setup(_i);
    const struct outcome o = {1, 1, REASON_NO_MATCH, 0, 0, NULL};

    talk(t, "> RR 1 route=publish/a h=$require:1 h=$ttl:5000 h=colour:red 'x'\n"
            "= p1 opened once\n"
            "= p1 publish topic=a type=0x06 { ttl=5000 require headers=12 } 'x'\n");
    the_publisher(1)->open = false;
    settled(1, 1, &o, 1);
    talk(t, "< ERROR 1 code=0x202 'no-match: no queue matched'\n");
    talk_end(t);
}
END_TEST

/* It stays among the headers. */
START_TEST(once_may_have_an_id)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> RR 1 route=publish/a h=$dedup:7 h=colour:red 'x'\n"
            "= p1 opened once\n"
            "= p1 publish topic=a type=0x06 { dedup headers=22 } 'x'\n");
    talk_end(t);
}
END_TEST

START_TEST(once_may_be_cancelled)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> RR 1 route=send/q 'x'\n"
            "> CANCEL 1\n"
            "= p1 opened once\n"
            "= p1 publish queue=q type=0x06 'x'\n"
            "= p1 closed\n");
    talk_end(t);
}
END_TEST

static const struct {
    const char *headers, *why;
} bad_headers[] = {
    {"h=$odd:1", "invalid: header $odd is not known here"},
    {"h=$dedup:", "invalid: header $dedup: an id has 1 to 512 bytes"},
    {"h=$ttl:0", "invalid: header $ttl is a number of milliseconds, at least 1, not \"0\""},
    {"h=$ttl:soon", "invalid: header $ttl is a number of milliseconds, at least 1, not \"soon\""},
    {"h=$require:yes", "invalid: header $require is 1 or 0, not \"yes\""},
    {"h=$confirm:all", "invalid: header $confirm is not known here"},
    {"h=$attempt:2", "invalid: header $attempt is not known here"},
};

START_TEST(bad_options_are_refused)
{
    struct talk *t = talk_setup(_i % 2);
    char lines[512];

    (void)snprintf(lines, sizeof lines,
                   "> RR 1 route=publish/a %s 'x'\n"
                   "= p1 opened once\n"
                   "= p1 closed\n"
                   "< ERROR 1 code=0x204 '%s'\n",
                   bad_headers[_i / 2].headers, bad_headers[_i / 2].why);
    talk(t, lines);
    ck_assert(!t->closed);
    talk_end(t);
}
END_TEST

START_TEST(reply_to_passes_through)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> RR 1 route=publish/a h=$reply-to:answers 'x'\n"
            "= p1 opened once\n"
            "= p1 publish topic=a type=0x06 { headers=19 } 'x'\n");
    talk_end(t);
}
END_TEST

/* ----------------------------------------------------------------------------------- channel */

START_TEST(channel_to_one_topic)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=10 route=publish/a 'first'\n"
            "> PAYLOAD 1 NEXT 'second'\n"
            "> PAYLOAD 1 NEXT 'third'\n"
            "> PAYLOAD 1 NEXT h=k:v 'fourth'\n"
            "> PAYLOAD 1 NEXT tag=a 'fifth'\n"
            "> PAYLOAD 1 NEXT tag=publish/a 'sixth'\n"
            "> PAYLOAD 1 NEXT\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'first'\n"
            "= p1 publish type=0x06 'second'\n"
            "= p1 publish type=0x06 'third'\n"
            "= p1 publish type=0x06 { headers=5 } 'fourth'\n"
            "= p1 publish type=0x06 'fifth'\n"
            "= p1 publish type=0x06 'sixth'\n"
            "= p1 publish type=0x06 ''\n"
            "< N 1 n=100\n"); /* the first needed none of it */
    talk(t, "> PAYLOAD 1 NEXT tag=b 'elsewhere'\n"
            "= p1 closed\n"
            "< ERROR 1 code=0x204 'invalid: this channel is for one name; one without can have "
            "many'\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_goes_in_runs)
{
    struct talk *t = talk_setup(false);

    fake.show_runs = true;
    talk(t, "> CHANNEL 1 n=10 route=publish/a 'a'\n"
            "> PAYLOAD 1 NEXT 'b'\n"
            "> PAYLOAD 1 NEXT 'c'\n"
            "> PAYLOAD 1 NEXT h=k:v 'd'\n"
            "> PAYLOAD 1 NEXT h=k:v 'e'\n"
            "> PAYLOAD 1 NEXT h=k:v 'f'\n"
            "> PAYLOAD 1 NEXT 'g'\n"
            "> PAYLOAD 1 NEXT 'h'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'a'\n"
            "= p1 publish type=0x06 'b' 'c'\n"
            "= p1 publish type=0x06 { headers=5 } 'd'\n"
            "= p1 publish type=0x06 { headers=5 } 'e' { headers=5 } 'f'\n"
            "= p1 publish type=0x06 'g' 'h'\n"
            "< N 1 n=100\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_to_many_topics)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=10 route=publish 'only opens'\n"
            "> PAYLOAD 1 NEXT tag=a 'x'\n"
            "> PAYLOAD 1 NEXT 'goes where the one before went'\n"
            "> PAYLOAD 1 NEXT tag=b 'y'\n"
            "> PAYLOAD 1 NEXT tag=a 'z'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 publish type=0x06 'goes where the one before went'\n"
            "= p1 publish topic=b type=0x06 'y'\n"
            "= p1 publish topic=a type=0x06 'z'\n"
            "< N 1 n=100\n");
    talk_end(t);
}
END_TEST

/* Topics that change with each message are taken many at a time; the outcome is the same as one by
 * one, whatever comes between. */
START_TEST(channel_to_a_topic_each)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=10 route=publish\n"
            "> PAYLOAD 1 NEXT tag=a 'u'\n"
            "> PAYLOAD 1 NEXT tag=b 'v'\n"
            "> PAYLOAD 1 NEXT tag=a 'w'\n"
            "> PAYLOAD 1 NEXT tag=b h=k:v 'x'\n"
            "> PAYLOAD 1 NEXT tag=b 'y'\n"
            "> PAYLOAD 1 NEXT tag=a 'z'\n"
            "> PAYLOAD 1 NEXT 'goes to a'\n"
            "> PAYLOAD 1 NEXT tag=b 'the memo of b is not that of the target'\n"
            "> PAYLOAD 1 NEXT tag=c\n"
            "> PAYLOAD 1 NEXT COMPLETE tag=d 'last'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'u'\n"
            "= p1 publish topic=b type=0x06 'v'\n"
            "= p1 publish topic=a type=0x06 'w'\n"
            "= p1 publish topic=b type=0x06 { headers=5 } 'x'\n"
            "= p1 publish topic=b type=0x06 'y'\n"
            "= p1 publish topic=a type=0x06 'z'\n"
            "= p1 publish type=0x06 'goes to a'\n"
            "= p1 publish topic=b type=0x06 'the memo of b is not that of the target'\n"
            "= p1 publish topic=c type=0x06 ''\n"
            "= p1 publish topic=d type=0x06 'last'\n"
            "< N 1 n=100\n");
    talk_end(t);
}
END_TEST

START_TEST(runs_to_a_topic_each)
{
    struct talk *t = talk_setup(false);

    fake.show_runs = true;
    talk(t, "> CHANNEL 1 n=10 route=publish\n"
            "> PAYLOAD 1 NEXT tag=a 't'\n"
            "> PAYLOAD 1 NEXT tag=b 'u'\n"
            "> PAYLOAD 1 NEXT tag=b 'v'\n"
            "> PAYLOAD 1 NEXT tag=b 'w'\n"
            "> PAYLOAD 1 NEXT tag=b 'x'\n"
            "> PAYLOAD 1 NEXT tag=a 'y'\n"
            "> PAYLOAD 1 NEXT tag=b 'z'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 't'\n"
            "= p1 publish topic=b type=0x06 'u'\n"
            "= p1 publish topic=b type=0x06 'v'\n"
            "= p1 publish type=0x06 'w' 'x'\n"
            "= p1 publish topic=a type=0x06 'y'\n"
            "= p1 publish topic=b type=0x06 'z'\n"
            "< N 1 n=100\n");
    talk_end(t);
}
END_TEST

START_TEST(a_topic_of_many_fails)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=5 route=publish\n"
            "= p1 opened window\n"
            "< N 1 n=100\n");
    fake.fail = -EINVAL;
    fake.fail_text = "invalid: not a topic";
    talk(t, "> PAYLOAD 1 NEXT tag=a 'x'\n"
            "> PAYLOAD 1 NEXT tag=b 'late'\n"
            "> PAYLOAD 1 NEXT tag=c 'late'\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 closed\n"
            "< ERROR 1 code=0x204 'invalid: not a topic'\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_to_queues)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=10 route=send\n"
            "> PAYLOAD 1 NEXT tag=q 'x'\n"
            "> CHANNEL 3 n=10 route=send/r 'y'\n"
            "= p1 opened window\n"
            "= p1 publish queue=q type=0x06 'x'\n"
            "= p2 opened window\n"
            "= p2 publish queue=r type=0x06 'y'\n"
            "< N 1 n=100\n"
            "< N 3 n=100\n");
    talk_end(t);
}
END_TEST

START_TEST(routing_metadata_name_topics_too)
{
    struct talk *t = talk_open(_i);

    t->routing = true;
    talk(t, "> SETUP 0 metadata-mime=" ROUTING " data-mime=text/x-log\n"
            "> CHANNEL 1 n=10 route=publish\n"
            "> PAYLOAD 1 NEXT tag=a 'x'\n"
            "> FNF 3 route=publish/b 'y'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=text/x-log 'x'\n"
            "= p2 opened forget\n"
            "= p2 publish topic=b type=text/x-log 'y'\n"
            "< N 1 n=100\n");
    talk_end(t);
}
END_TEST

START_TEST(confirms_merge_without_credit)
{
    struct talk *t = talk_setup(_i);
    const struct outcome first[] = {{1, 2, REASON_NONE, 1, 1, NULL},
                                    {3, 1, REASON_FULL, 2, 1, NULL}};
    const struct outcome more[] = {{4, 1, REASON_FULL, 2, 1, NULL},
                                   {5, 1, REASON_NO_MATCH, 0, 0, NULL},
                                   {6, 4, REASON_NONE, 1, 1, NULL}};

    talk(t, "> CHANNEL 1 n=1 route=publish\n"
            "= p1 opened window\n"
            "< N 1 n=100\n");
    settled(1, 3, first, 2);
    talk(t, "< PAYLOAD 1 NEXT hex="
            "0000000000000003"
            "0000000000000003"
            "00000001"
            "0002"
            "00000002"
            "00000001"
            "\n");
    settled(1, 4, more, 1);
    settled(1, 9, more + 1, 2);
    talk(t, ""); /* no credit */
    talk(t, "> N 1 n=5\n"
            "< PAYLOAD 1 NEXT hex="
            "0000000000000009"
            "0000000000000004"
            "00000001"
            "0002"
            "00000002"
            "00000001"
            "0000000000000005"
            "00000001"
            "0001"
            "00000000"
            "00000000"
            "\n");
    talk_end(t);
}
END_TEST

START_TEST(confirms_of_losses_only)
{
    struct talk *t = talk_setup(_i);
    const struct outcome o[] = {{1, 2, REASON_NONE, 1, 1, NULL},
                                {3, 1, REASON_NO_MATCH, 0, 0, NULL},
                                {4, 1, REASON_DROP_NEWEST, 2, 1, NULL}};

    talk(t, "> CHANNEL 1 n=9 route=publish h=$confirm:loss\n"
            "= p1 opened window\n"
            "< N 1 n=100\n");
    settled(1, 3, o, 2);
    talk(t, "");
    settled(1, 4, o + 2, 1);
    talk(t, "< PAYLOAD 1 NEXT hex="
            "0000000000000004"
            "0000000000000004"
            "00000001"
            "0015"
            "00000002"
            "00000001"
            "\n");
    talk_end(t);
}
END_TEST

/* Every second message of `n` lost: n / 2 entries. */
static void lose_half(uint64_t from, uint32_t n)
{
    struct outcome o[2100];

    ck_assert_uint_le(n, 2100);
    for (uint32_t i = 0; i < n; i++)
        o[i] =
            (struct outcome){from + i, 1, i % 2 ? REASON_FULL : REASON_NONE, 1, i % 2 == 0, NULL};
    settled(1, from + n - 1, o, n);
}

START_TEST(too_many_unread_confirms_stop_credit)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=1 route=publish\n"
            "= p1 opened window\n"
            "< N 1 n=100\n");
    lose_half(1, 2);
    talk(t, "< PAYLOAD 1 NEXT hex=00000000000000020000000000000002000000010002"
            "0000000100000000\n");
    lose_half(3, 2046);
    granted(1, 10);
    talk(t, "< N 1 n=10\n"); /* 1,023 wait */
    lose_half(2049, 6);
    granted(1, 20);
    granted(1, 30);
    talk(t, ""); /* 1,026 */
    talk(t, "> N 1 n=1\n"
            "< PAYLOAD 1 NEXT 22536 bytes\n" /* 1,024 of them */
            "< N 1 n=50\n");
    talk(t, "> N 1 n=1\n"
            "< PAYLOAD 1 NEXT hex="
            "0000000000000806"
            "0000000000000804"
            "00000001"
            "0002"
            "00000001"
            "00000000"
            "0000000000000806"
            "00000001"
            "0002"
            "00000001"
            "00000000"
            "\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_completes)
{
    struct talk *t = talk_setup(_i);
    const struct outcome fine[] = {{1, 1, REASON_NONE, 1, 1, NULL},
                                   {2, 1, REASON_NONE, 1, 1, NULL}};

    talk(t, "> CHANNEL 1 n=5 route=publish/a 'x'\n"
            "> PAYLOAD 1 NEXT COMPLETE 'y'\n"
            "> PAYLOAD 1 NEXT 'after the end'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 publish type=0x06 'y'\n"
            "< N 1 n=100\n");
    settled(1, 1, fine, 1);
    talk(t, "< PAYLOAD 1 NEXT hex=0000000000000001\n");
    granted(1, 7); /* no more is wanted */
    settled(1, 2, fine + 1, 1);
    talk(t, "< PAYLOAD 1 NEXT hex=0000000000000002\n"
            "< PAYLOAD 1 COMPLETE\n");
    granted(1, 7);
    talk(t, "> KEEPALIVE 0\n"
            "= p1 closed\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_completes_at_once)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 COMPLETE n=5 route=publish\n"
            "> CHANNEL 3 n=5 route=publish\n"
            "> PAYLOAD 3 COMPLETE 'not a message'\n"
            "= p1 opened window\n"
            "= p1 closed\n"
            "= p2 opened window\n"
            "= p2 closed\n"
            "< PAYLOAD 1 COMPLETE\n"
            "< N 3 n=100\n"
            "< PAYLOAD 3 COMPLETE\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_completes_without_credit_for_confirms)
{
    struct talk *t = talk_setup(_i);
    const struct outcome fine = {2, 1, REASON_NONE, 1, 1, NULL};
    const struct outcome lost = {1, 3, REASON_FULL, 1, 0, NULL};

    talk(t, "> CHANNEL 1 n=1 route=publish/a 'x'\n"
            "> PAYLOAD 1 NEXT COMPLETE 'y'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 publish type=0x06 'y'\n"
            "< N 1 n=100\n");
    settled(1, 1, &(struct outcome){1, 1, REASON_NONE, 1, 1, NULL}, 1);
    settled(1, 2, &fine, 1);
    talk(t, "< PAYLOAD 1 NEXT hex=0000000000000001\n"
            "< PAYLOAD 1 COMPLETE\n"); /* all was well: COMPLETE says it */
    talk(t, "> CHANNEL 3 n=1 route=publish/a 'x'\n"
            "> PAYLOAD 3 NEXT 'y'\n"
            "> PAYLOAD 3 NEXT 'z'\n"
            "= p1 closed\n"
            "= p2 opened window\n"
            "= p2 publish topic=a type=0x06 'x'\n"
            "= p2 publish type=0x06 'y'\n"
            "= p2 publish type=0x06 'z'\n"
            "< N 3 n=100\n");
    settled(2, 1, &(struct outcome){1, 1, REASON_NONE, 1, 1, NULL}, 1);
    settled(2, 3, &(struct outcome){2, 2, lost.reason, 1, 0, NULL}, 1);
    talk(t, "> PAYLOAD 3 COMPLETE\n"
            "= p2 closed\n"
            "< PAYLOAD 3 NEXT hex=0000000000000001\n"
            "< ERROR 3 code=0x203 'full: 2 messages were not accepted by every queue; no credit "
            "to tell which'\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_is_cancelled)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=5 route=publish/a 'x'\n"
            "> CANCEL 1\n"
            "> PAYLOAD 1 NEXT 'late'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "= p1 closed\n"
            "< N 1 n=100\n");
    talk(t, "> CHANNEL 3 n=5 route=publish/a 'x'\n"
            "> ERROR 3 code=0x201 'gave up'\n"
            "= p2 opened window\n"
            "= p2 publish topic=a type=0x06 'x'\n"
            "= p2 closed\n"
            "< N 3 n=100\n");
    talk_end(t);
}
END_TEST

static const struct {
    int answer;
    const char *text, *heard;
} publish_errors[] = {
    {-ENOBUFS, NULL, "< ERROR 1 code=0x204 'invalid: a payload beyond the credit granted'\n"},
    {-EPIPE, NULL, "< ERROR 1 code=0x202 'draining: the broker is about to stop'\n"},
    {-ENOMEM, NULL, "< ERROR 1 code=0x202 'memory: the broker has no memory for this'\n"},
    {-EINVAL, "invalid: no topic yet", "< ERROR 1 code=0x204 'invalid: no topic yet'\n"},
};

START_TEST(channel_fails)
{
    struct talk *t = talk_setup(_i % 2);
    char lines[256];

    talk(t, "> CHANNEL 1 n=5 route=publish\n"
            "= p1 opened window\n"
            "< N 1 n=100\n");
    fake.fail = publish_errors[_i / 2].answer;
    fake.fail_text = publish_errors[_i / 2].text;
    (void)snprintf(lines, sizeof lines,
                   "> PAYLOAD 1 NEXT 'x'\n"
                   "> KEEPALIVE 0\n"
                   "> PAYLOAD 1 NEXT 'late'\n"
                   "= p1 publish type=0x06 'x'\n"
                   "= p1 closed\n%s",
                   publish_errors[_i / 2].heard);
    talk(t, lines);
    talk_end(t);
}
END_TEST

START_TEST(channel_frames_that_are_wrong)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 n=0 route=publish\n"
            "> CHANNEL 3 n=1 route=publish\n"
            "> N 3 n=0\n"
            "> CHANNEL 5 n=1 route=publish\n"
            "> PAYLOAD 5 'neither NEXT nor COMPLETE'\n"
            "> CHANNEL 7 n=1 route=publish h=$ttl:5\n"
            "> CHANNEL 9 n=1 route=publish\n"
            "> CHANNEL 9 n=1 route=publish/in.use 'x'\n"
            "= p1 opened window\n"
            "= p1 closed\n"
            "= p2 opened window\n"
            "= p2 closed\n"
            "= p3 opened window\n"
            "< ERROR 1 code=0x204 'invalid: request n is 0'\n"
            "< N 3 n=100\n"
            "< ERROR 3 code=0x204 'invalid: request n is 0'\n"
            "< N 5 n=100\n"
            "< ERROR 5 code=0x204 'invalid: a payload with neither NEXT nor COMPLETE'\n"
            "< ERROR 7 code=0x204 'invalid: header $ttl is not known here'\n"
            "< N 9 n=100\n");
    talk_end(t);
}
END_TEST

START_TEST(channel_messages_in_fragments)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> CHANNEL 1 FOLLOWS n=5 route=publish/a 'o'\n"
            "> PAYLOAD 1 NEXT 'ne'\n"
            "> PAYLOAD 1 NEXT FOLLOWS h=k:v 't'\n"
            "> PAYLOAD 1 NEXT FOLLOWS 'w'\n"
            "> PAYLOAD 1 NEXT 'o'\n"
            "> PAYLOAD 1 NEXT 'three'\n"
            "> PAYLOAD 1 NEXT FOLLOWS 'cut off by'\n"
            "> CANCEL 1\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'one'\n"
            "= p1 publish type=0x06 { headers=5 } 'two'\n"
            "= p1 publish type=0x06 'three'\n"
            "= p1 closed\n"
            "< N 1 n=100\n");
    ck_assert_int_eq(fake.charged, 0);
    talk_end(t);
}
END_TEST

/* ------------------------------------------------------------------------------------ limits */

START_TEST(streams_are_limited)
{
    struct talk *t = talk_setup(_i);
    char lines[2048] = "";

    for (int i = 0; i < 8; i++)
        (void)sprintf(strchr(lines, '\0'), "> STREAM %d n=1 route=subscribe/a\n", 2 * i + 1);
    for (int i = 0; i < 8; i++)
        (void)sprintf(strchr(lines, '\0'), "= k%d attach filter=a credit=1\n", i + 1);
    talk(t, lines);
    talk(t, "> STREAM 17 n=1 route=subscribe/a\n"
            "> FNF 19 FOLLOWS route=publish/a 'x'\n"
            "< ERROR 17 code=0x202 'limit: a connection has at most 8 streams'\n");
    talk(t, "> CANCEL 5\n"
            "> STREAM 17 n=1 route=subscribe/a\n"
            "= k3 detach\n"
            "= k9 attach filter=a credit=1\n");
    talk_end(t);
}
END_TEST

/* A fragment of 60,000 bytes. */
static uint8_t *big_fragment(uint8_t *p, uint32_t stream, uint8_t type)
{
    uint8_t route[64], *end = composite_put_route(route, SLICE("publish/a"));
    uint8_t *data = calloc(1, 60000);
    struct rs_frame f = {.stream = stream,
                         .type = type,
                         .flags = RS_FOLLOWS | (type == RS_PAYLOAD ? RS_NEXT : 0),
                         .has_metadata = type != RS_PAYLOAD,
                         .metadata = slice_of(route, (size_t)(end - route)),
                         .data = slice_of(data, 60000)};

    ck_assert_ptr_nonnull(data);
    if (type == RS_PAYLOAD)
        f.metadata.n = 0;
    p = rs_put(p, &f);
    free(data);
    return p;
}

START_TEST(a_message_has_a_largest_size)
{
    struct talk *t = talk_setup(false);
    uint8_t *in = malloc(70000);

    ck_assert_ptr_nonnull(in);
    feed(t, in, (size_t)(big_fragment(in, 1, RS_REQUEST_RESPONSE) - in));
    ck_assert_int_ge(fake.charged, 60000);
    for (int i = 0; i < 20; i++)
        feed(t, in, (size_t)(big_fragment(in, 1, RS_PAYLOAD) - in));
    talk(t, "< ERROR 1 code=0x204 'too-large: a message may have 1048576 bytes'\n");
    ck_assert_int_eq(fake.charged, 0);

    t->host.limits.reassembly_max = 100000;
    feed(t, in, (size_t)(big_fragment(in, 3, RS_REQUEST_RESPONSE) - in));
    feed(t, in, (size_t)(big_fragment(in, 5, RS_REQUEST_RESPONSE) - in));
    talk(t, "< ERROR 5 code=0x202 'limit: unfinished messages may have 100000 bytes'\n");
    fake.short_of_memory = true;
    feed(t, in, (size_t)(big_fragment(in, 3, RS_PAYLOAD) - in));
    talk(t, "< ERROR 3 code=0x202 'memory: the broker has no memory for this'\n");
    ck_assert(!t->closed);
    free(in);
    talk_end(t);
}
END_TEST

START_TEST(metadata_after_data_is_refused)
{
    struct talk *t = talk_setup(_i);

    talk(t, "> RR 1 FOLLOWS route=publish/a 'x'\n"
            "> PAYLOAD 1 NEXT tag=b 'y'\n"
            "< ERROR 1 code=0x204 'invalid: a fragment with metadata after one with data'\n");
    talk_end(t);
}
END_TEST

/* A run ends at DOOR_VIEWS messages, and at a frame that is cut short. */
START_TEST(a_run_has_a_limit)
{
    const int messages = 2 * DOOR_VIEWS + 88;
    struct talk *t = talk_setup(false);
    uint8_t *in = malloc((size_t)messages * 11), *p = in;

    talk(t, "> CHANNEL 1 n=5 route=publish/a 'x'\n"
            "= p1 opened window\n"
            "= p1 publish topic=a type=0x06 'x'\n"
            "< N 1 n=100\n");
    fake.show_runs = true;
    fake.silent = true;
    for (int i = 0; i < messages; i++)
        p = be_put_16(rs_put_payload_head(p, 1, RS_NEXT, 2), 0x4141);
    feed(t, in, (size_t)(p - in) - 1);
    ck_assert_uint_eq(t->kept, 10);
    ck_assert_uint_eq(t->link.need, 11);
    free(in);
    talk_end(t);
}
END_TEST

#define ROWS(a) (int)(sizeof(a) / sizeof(a)[0])

int main(void)
{
    Suite *suite = suite_create("rsocket: publish");
    TCase *tc = tcase_create("publish");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, forget_shares_one_publisher, 0, 2);
    tcase_add_test(tc, forget_goes_in_runs);
    tcase_add_loop_test(tc, forget_is_never_answered, 0, 2);
    tcase_add_loop_test(tc, forget_in_fragments, 0, 2);
    tcase_add_loop_test(tc, once_is_answered_when_settled, 0, 2 * ROWS(receipts));
    tcase_add_loop_test(tc, once_may_require_a_match, 0, 2);
    tcase_add_loop_test(tc, once_may_have_an_id, 0, 2);
    tcase_add_loop_test(tc, once_may_be_cancelled, 0, 2);
    tcase_add_loop_test(tc, bad_options_are_refused, 0, 2 * ROWS(bad_headers));
    tcase_add_loop_test(tc, reply_to_passes_through, 0, 2);
    tcase_add_loop_test(tc, channel_to_one_topic, 0, 2);
    tcase_add_test(tc, channel_goes_in_runs);
    tcase_add_loop_test(tc, channel_to_many_topics, 0, 2);
    tcase_add_loop_test(tc, channel_to_a_topic_each, 0, 2);
    tcase_add_test(tc, runs_to_a_topic_each);
    tcase_add_loop_test(tc, a_topic_of_many_fails, 0, 2);
    tcase_add_loop_test(tc, channel_to_queues, 0, 2);
    tcase_add_loop_test(tc, routing_metadata_name_topics_too, 0, 2);
    tcase_add_loop_test(tc, confirms_merge_without_credit, 0, 2);
    tcase_add_loop_test(tc, confirms_of_losses_only, 0, 2);
    tcase_add_loop_test(tc, too_many_unread_confirms_stop_credit, 0, 2);
    tcase_add_loop_test(tc, channel_completes, 0, 2);
    tcase_add_loop_test(tc, channel_completes_at_once, 0, 2);
    tcase_add_loop_test(tc, channel_completes_without_credit_for_confirms, 0, 2);
    tcase_add_loop_test(tc, channel_is_cancelled, 0, 2);
    tcase_add_loop_test(tc, channel_fails, 0, 2 * ROWS(publish_errors));
    tcase_add_loop_test(tc, channel_frames_that_are_wrong, 0, 2);
    tcase_add_loop_test(tc, channel_messages_in_fragments, 0, 2);
    tcase_add_loop_test(tc, streams_are_limited, 0, 2);
    tcase_add_test(tc, a_message_has_a_largest_size);
    tcase_add_loop_test(tc, metadata_after_data_is_refused, 0, 2);
    tcase_add_test(tc, a_run_has_a_limit);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
