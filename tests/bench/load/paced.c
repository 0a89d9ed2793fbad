/* Messages at a steady rate, one to one: how long each is on its way. It is stamped right before it
 * is written, and looked at right after it is read. */
#include "tests/bench/load/workload.h"

#include "tests/bench/load/loop.h"
#include "tests/bench/load/stamp.h"

struct pace {
    struct side pub, sub;
    uint8_t message[LOAD_MESSAGE_MAX], *payload;
    size_t n;
    uint64_t every_ns, next_ns;
    uint64_t sent;
    struct histogram times;
};

static void arrived(struct side *s, const uint8_t *payload, size_t n)
{
    struct pace *p = s->each_ctx;
    uint64_t ns = stamp_get(payload);

    (void)n;
    if (ns)
        histogram_add(&p->times, s->read_ns - ns);
}

/* Send what is due, also what should have been sent before. */
static void send_due(struct pace *p)
{
    for (; p->next_ns <= ns_now() && p->sent < p->pub.granted; p->next_ns += p->every_ns) {
        stamp_put(p->payload, ns_now());
        side_put(&p->pub, p->message, p->n);
        loop_flush(&p->pub);
        p->sent++;
    }
}

static void run_for(struct pace *p, double seconds)
{
    double end = seconds_now() + seconds;

    while (seconds_now() < end) {
        send_due(p);
        loop_turn_until(p->next_ns);
        if (p->pub.closed || p->sub.closed)
            die("the broker closed a connection");
    }
}

static void open_both(struct pace *p, const struct task *t)
{
    static const char *const topic = "bench.0";

    p->pub.driver = p->sub.driver = t->driver;
    p->pub.part.size = p->sub.part.size = t->size;
    p->sub.part.filters = &topic;
    p->sub.part.filters_n = 1;
    p->sub.each = arrived;
    p->sub.each_ctx = p;
    p->pub.part.topic = topic;
    loop_open(&p->sub, t->port);
    loop_ready(&p->sub, ready_s);
    loop_open(&p->pub, t->port);
    loop_ready(&p->pub, ready_s);
    p->n = t->driver->message(&p->pub, p->message, topic, t->size, &p->payload);
    p->sent = p->pub.greeted;
}

void paced(const struct task *t, struct result *ret)
{
    static const char *const names[] = {"p50_us", "p99_us", "p999_us", "max_us"};
    static struct pace p;
    double end;
    uint64_t got, sent;

    if (t->size < STAMP_SIZE)
        die("size=%zu: a time takes %d bytes", t->size, STAMP_SIZE);
    open_both(&p, t);
    p.every_ns = 1000000000 / t->rate;
    p.next_ns = ns_now();
    run_for(&p, warm_up_s);
    p.times = (struct histogram){0};
    got = p.sub.got;
    sent = p.sent;
    ret->before = usage_now(t->pid);
    run_for(&p, t->seconds);
    ret->after = usage_now(t->pid);
    ret->delivered = p.sub.got - got;
    ret->published = p.sent - sent;
    result_add(ret, "rate", t->rate);
    result_add_times(ret, names, &p.times);
    end = seconds_now() + 2;
    while (p.sub.got < p.sent && seconds_now() < end)
        loop_turn(100);
    ret->lost = (int64_t)(p.sent - p.sub.got);
    ret->told_lost = p.sub.told_lost;
    ret->publishers = ret->subscribers = 1;
    loop_close(&p.pub);
    loop_close(&p.sub);
}
