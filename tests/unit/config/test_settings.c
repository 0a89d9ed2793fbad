/* Settings files: what they set, and what is said of each mistake in them. */
#include <check.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/settings.h"
#include "config/table.h"

/* What was told, a line each. */
struct told {
    char text[8192];
};

static void on_error(void *ctx, const char *text)
{
    struct told *told = ctx;
    size_t n = strlen(told->text);

    (void)snprintf(told->text + n, sizeof told->text - n, "%s\n", text);
}

static struct settings *load(const char *text)
{
    struct told told = {""};
    struct settings *s = NULL;
    int r = settings_load_text("t.conf", slice_str(text), NULL, on_error, &told, &s);

    ck_assert_msg(r == 0, "%s: %s", text, told.text);
    ck_assert_str_eq(told.text, "");
    return s;
}

START_TEST(defaults)
{
    struct settings *s = load("");

    ck_assert_uint_ge(s->workers, 1);
    ck_assert_uint_le(s->workers, SETTINGS_WORKERS_MAX);
    ck_assert_uint_eq(s->placement, SETTINGS_PACK);
    ck_assert_uint_eq(s->memory, 1ULL << 30);
    ck_assert_uint_eq(s->max_message, 64ULL << 20);
    ck_assert(s->create_queues);
    ck_assert_int_eq(s->drain_ms, 30000);
    ck_assert_uint_eq(s->log_level, LEVEL_NOTICE);
    ck_assert_uint_eq(s->log_format, LOG_FORMAT_AUTO);
    ck_assert_uint_eq(s->limits.max_streams, 10000);
    ck_assert_uint_eq(s->n_listeners, 1);
    ck_assert_str_eq(s->listeners[0].url, "tcp://127.0.0.1:7070");
    ck_assert_str_eq(s->listeners[0].host, "127.0.0.1");
    ck_assert_uint_eq(s->listeners[0].port, 7070);
    ck_assert(s->listeners[0].loopback);
    ck_assert_uint_eq(policy_set_globals(s->policies)->max_message_bytes, 64ULL << 20);
    ck_assert_ptr_null(settings_free(s));
}
END_TEST

static const char everything[] =
    "# comment\n"
    "workers = 3\n"
    "placement = spread\n"
    "memory = \"256MiB\"  // another\n"
    "max-message = 1MiB\n"
    "create-queues = false\n"
    "drain-timeout = 5s\n"
    "limits { max-connections = unlimited max-streams = 7 idle-max = \"1h\" }\n"
    "log { level = debug format = json }\n"
    "listen \"tcp://0.0.0.0:0\" { protocols = { rsocket, stomp, json, http, websocket } "
    "insecure = true }\n"
    "listen \"tcp://[::1]:7\" { manage = false }\n"
    "listen \"unix:///run/b.sock\" {}\n"
    "queue \"#\" { max-messages = 5 }\n"
    "queue \"orders.#\" {\n"
    "    bind = { \"orders.*\", \"x\" }\n"
    "    bind += { \"y.#\" }\n"
    "    durable = memory max-bytes = \"2MiB\" message-ttl = \"1h\" overflow = block\n"
    "    block-timeout = \"3s\" block-fallback = drop-newest ack-timeout = \"5m\"\n"
    "    max-deliveries = 9 max-inflight = unlimited dead-letter = \"dead.orders\"\n"
    "    expires = never\n"
    "}\n"
    "subscription \"#\" { max-messages = 10 overflow = disconnect }\n";

START_TEST(every_kind_of_key)
{
    struct settings *s = load(everything);
    const struct policy_rule *rule;

    ck_assert_uint_eq(s->workers, 3);
    ck_assert_uint_eq(s->placement, SETTINGS_SPREAD);
    ck_assert_uint_eq(s->memory, 256ULL << 20);
    ck_assert_uint_eq(s->max_message, 1 << 20);
    ck_assert(!s->create_queues);
    ck_assert_int_eq(s->drain_ms, 5000);
    ck_assert_uint_eq(s->limits.max_connections, UINT32_MAX);
    ck_assert_uint_eq(s->limits.max_streams, 7);
    ck_assert_int_eq(s->limits.idle_max_ms, 3600000);
    ck_assert_uint_eq(s->log_level, LEVEL_DEBUG);
    ck_assert_uint_eq(s->log_format, LOG_FORMAT_JSON);
    ck_assert_uint_eq(s->n_listeners, 3);
    ck_assert(s->listeners[0].insecure && !s->listeners[0].loopback);
    ck_assert_uint_eq(s->listeners[0].port, 0);
    ck_assert_uint_eq(s->listeners[0].n_protocols, 5);
    ck_assert_str_eq(s->listeners[0].protocols[0], "rsocket");
    ck_assert_str_eq(s->listeners[0].protocols[1], "stomp");
    ck_assert(!s->listeners[0].manage && !s->listeners[1].manage && s->listeners[2].manage);
    ck_assert_str_eq(s->listeners[1].host, "::1");
    ck_assert_uint_eq(s->listeners[1].port, 7);
    ck_assert_uint_eq(s->listeners[1].n_protocols, 0);
    ck_assert_int_eq(s->listeners[2].transport, SETTINGS_UNIX);
    ck_assert_str_eq(s->listeners[2].path, "/run/b.sock");
    ck_assert_uint_eq(policy_set_find_queue(s->policies, SLICE("a"))->policy.max_messages, 5);
    rule = policy_set_find_queue(s->policies, SLICE("orders.eu"));
    ck_assert_uint_eq(rule->n_binds, 3);
    ck_assert_str_eq(rule->binds[2], "y.#");
    ck_assert_uint_eq(rule->policy.max_messages, 131072); /* the last section counts, whole */
    ck_assert_uint_eq(rule->policy.max_bytes, 2 << 20);
    ck_assert_int_eq(rule->policy.overflow, OVERFLOW_BLOCK);
    ck_assert_int_eq(rule->policy.block_fallback, OVERFLOW_DROP_NEWEST);
    ck_assert_int_eq(rule->policy.ack_timeout_ms, 300000);
    ck_assert_uint_eq(rule->policy.max_inflight, POLICY_UNLIMITED32);
    ck_assert_str_eq(rule->policy.dead_letter, "dead.orders");
    rule = policy_set_find_subscription(s->policies, SLICE("a.#"));
    ck_assert_int_eq(rule->policy.overflow, OVERFLOW_DISCONNECT);
    ck_assert(!policy_set_globals(s->policies)->create_queues);
    settings_free(s);
}
END_TEST

static const struct {
    const char *text, *told; /* `told`: all of it, or with a leading ~ a part */
} mistakes[] = {
    {"wokers = 2\n", "t.conf:1: unknown key \"wokers\", did you mean \"workers\"?\n"},
    {"\n\nzzz = 2\n", "t.conf:3: unknown key \"zzz\"\n"},
    {"quue \"x\" {}\n", "t.conf:1: unknown key \"quue\", did you mean \"queue\"?\n"},
    {"queue \"x\" {\n max-mesages = 5 }\n",
     "t.conf:2: unknown key \"max-mesages\" in section queue, did you mean \"max-messages\"?\n"},
    {"subscription \"x\" { ack-timeout = 5s }\n",
     "~t.conf:1: unknown key \"ack-timeout\" in section subscription"},
    {"workers = 0\n", "t.conf:1: workers: expected a number from 1 to 64, or auto, found \"0\"\n"},
    {"workers = 65\n", "~found \"65\""},
    {"workers = two\n", "~found \"two\""},
    {"memory = \"1TiB\"\n", "~memory: expected a size from 1MiB to "},
    {"drain-timeout = 30\n", "~drain-timeout: expected a time with its unit (500ms, 30s, 5m) from"},
    {"create-queues = maybe\n",
     "t.conf:1: create-queues: expected true or false, found \"maybe\"\n"},
    {"placement = pak\n", "t.conf:1: placement: expected pack or spread, found \"pak\"\n"},
    {"limits {\n\n max-streams = 0 }\n", "~t.conf:3: max-streams: expected a number from 1 to"},
    {"limits { max-connections = 4294967295 }\n", "~from 1 to unlimited"},
    {"log { level = loud }\n",
     "t.conf:1: level: expected error, warning, notice, info or debug, found \"loud\"\n"},
    /* all of a file, not only the first */
    {"workers = 0\nmemory = x\nqueue \"q\" {\n overflow = maybe\n}\nwokers = 1\n",
     "t.conf:1: workers: expected a number from 1 to 64, or auto, found \"0\"\n"
     "t.conf:2: memory: expected a size from 1MiB to 1048576GiB, found \"x\"\n"
     "t.conf:4: overflow: expected block, drop-oldest, drop-newest or reject, found \"maybe\"\n"
     "t.conf:6: unknown key \"wokers\", did you mean \"workers\"?\n"},
    {"queue \"q\" { overflow = disconnect }\n", "~overflow: expected block, drop-oldest"},
    {"queue \"q\" { block-fallback = block }\n", "~block-fallback: expected drop-oldest, drop"},
    /* what keeps a durable queue must be there */
    {"queue \"q\" { durable = journal }\n",
     "t.conf:1: queue \"q\": durable = journal needs a section: store \"journal\" { path = "
     "\"/var/lib/brokerd\" }\n"},
    {"store \"journal\" {}\n\nqueue \"a.#\" {\n max-messages = 5\n durable = \"redis+2\"\n}\n",
     "t.conf:3: queue \"a.#\": durable = redis+2 needs a section: store \"redis\" { url = "
     "\"redis://127.0.0.1:6379\" }\n"},
    /* and what is retained is retained by the journal */
    {"queue \"q\" { retain = 1h }\n",
     "t.conf:1: queue \"q\": retain needs durable = journal: of a queue in memory nothing is "
     "retained\n"},
    {"store \"redis\" {}\n\nqueue \"a.#\" {\n durable = redis\n retain = 7d\n}\n",
     "t.conf:3: queue \"a.#\": retain needs durable = journal: of a queue in redis nothing is "
     "retained\n"},
    {"store \"redis\" { url = \"rediss://h\"\n ca = \"/nowhere/ca.pem\" }\n",
     "t.conf:1: store: ca /nowhere/ca.pem: No such file or directory\n"},
    {"\nstore \"redis\" {\n url = \"rediss://h\"\n certificate = \"/dev/null\"\n key = "
     "\"/dev/null\"\n"
     "}\n",
     "t.conf:2: store: certificate /dev/null: no start line\n"},
    {"queue \"q\" { durable = disk }\n",
     "t.conf:1: durable: expected memory, journal, redis or redis+N (N replicas, 1 to 9), found "
     "\"disk\"\n"},
    {"queue \"q\" { durable = \"redis+0\" }\n", "~t.conf:1: durable: expected memory, journal"},
    {"queue \"q\" { durable = redis+2 }\n",
     "t.conf:1: unknown key \"2\" in section queue: a value with + stands in quotes, "
     "\"redis+2\"\n"},
    {"queue \"q\" { bind = { \"a.b\", \"a..b\" } }\n",
     "t.conf:1: bind: filter has an empty level, found \"a..b\"\n"},
    {"\nqueue \"a.#.b\" {\n max-messages = 1\n}\n",
     "t.conf:2: queue: filter has # before its last level, found \"a.#.b\"\n"},
    {"queue \"$x\" {}\n", "~queue name begins with $"},
    {"queue {}\n", "t.conf:1: syntax: missing title for section 'queue'\n"},
    {"queue \"q\" {}\nqueue \"q\" {}\n", "~syntax: found duplicate title 'q'"},
    {"\nqueue \"q\" {\n", "t.conf:2: queue: expected } at the end of this section\n"},
    {"\nqueue \"q\" { max-messages = 1",
     "t.conf:2: queue: expected } at the end of this section\n"},
    {"log {\n level = info\n", "t.conf:1: log: expected } at the end of this section\n"},
    {"/* never ends\n", "~syntax: expected the end of a comment"},
    {"workers = ", "~syntax: "},
    {"queue \"q\" { bind = { \"a\" ", "~syntax: "},
    {"queue", "~syntax: "},
    {"\001 = 1\n", "t.conf:1: expected text, found a control character\n"},
    {"workers = \"\\x01\"\n", "~t.conf:1: workers: expected a number"},
    /* comments do not move the lines after them */
    {"# a\n// b\n/* c\n d */ workers = 1 # \"\nlog { level = \"#\" } # '\nzzz = 1\n",
     "t.conf:5: level: expected error, warning, notice, info or debug, found \"#\"\n"
     "t.conf:6: unknown key \"zzz\"\n"},
    {"# it's\nqueue \"a\" { # \"\n dead-letter = \"x\\\"#\" }\nzzz = 1\n",
     "t.conf:3: dead-letter: topic contains a wildcard (* or #)\nt.conf:4: unknown key \"zzz\"\n"},
    {"workers 2\n", "~t.conf:1: syntax: missing equal sign after option 'workers'"},
    {"workers = \"2\n", "~syntax: premature end of file"},
    {"}\n", "~syntax: unexpected closing brace"},
    {"=\n", "~t.conf:1: syntax: "},
    {"listen \"tcp://0.0.0.0:7070\" {}\n",
     "t.conf:1: listen: expected insecure = true, since others than this host can reach "
     "tcp://0.0.0.0:7070 and nobody is authenticated until authentication exists\n"},
    {"\nlisten \"tcp://example.org\" {\n insecure = false\n}\n",
     "~t.conf:2: listen: expected insec"},
    {"listen \"tls://0.0.0.0:7443\" {}\n", "~tls:// is not supported by this version"},
    {"listen \"nonsense\" {}\n",
     "t.conf:1: listen: expected tcp://HOST:PORT or unix:///PATH, found \"nonsense\"\n"},
    {"listen \"tcp://127.0.0.1:1\" { protocols = { ftp } }\n",
     "t.conf:1: protocols: expected rsocket, json, stomp, http or websocket, found \"ftp\"\n"},
    {"listen \"tcp://127.0.0.1:1\" { certificate = \"x\" }\n",
     "t.conf:1: certificate: not supported by this version\n"},
    {"\nstore \"lmdb\" {}\n",
     "t.conf:2: store: expected \"journal\" or \"redis\", found \"lmdb\"\n"},
    {"store \"journal\" {\n url = \"redis://h\" }\n",
     "t.conf:2: unknown key \"url\" in section store \"journal\"\n"},
    {"store \"redis\" { path = \"/x\" }\n",
     "t.conf:1: unknown key \"path\" in section store \"redis\"\n"},
    {"store \"journal\" { pth = \"/x\" }\n",
     "t.conf:1: unknown key \"pth\" in section store, did you mean \"path\"?\n"},
    {"store \"journal\" { path = \"x\" }\n",
     "t.conf:1: path: expected a path that begins with /\n"},
    {"store \"journal\" { sync = never }\n", "t.conf:1: sync: expected always, found \"never\"\n"},
    {"store \"journal\" { segment = 1KiB }\n", "~segment: expected a size from 64KiB to 1GiB"},
    {"store \"journal\" { max-disk = 0 }\n", "~max-disk: expected a size from 512KiB to unlimited"},
    {"\nstore \"journal\" {\n max-disk = 255MiB\n}\n",
     "t.conf:2: store: max-disk: expected at least 8 segments\n"},
    {"store \"redis\" { url = \"redis://u:tell-nobody@\" }\n",
     "t.conf:1: url: expected HOST or HOST:PORT, one of them\n"},
    {"store \"redis\" { url = \"tell-nobody\" }\n", "~t.conf:1: url: expected redis://"},
    {"store \"redis\" { prefix = \"{x}\" }\n", "~prefix: expected letters, digits and"},
    {"store \"redis\" { prefix = \"\" }\n", "~prefix: expected letters, digits and"},
    {"store \"redis\" { node = \"a b\" }\n", "~node: expected letters, digits and"},
    {"store \"redis\" { node = "
     "\"0123456789012345678901234567890123456789012345678901234567891234\" }"
     "\n",
     "t.conf:1: node: expected at most 63 bytes, found 64\n"},
    {"store \"redis\" { ca = \"/x\" }\n",
     "t.conf:1: store: url: expected rediss:// for redis://, since ca, certificate or key are for "
     "TLS\n"},
    {"store \"redis\" { url = \"rediss://h\" key = \"/x\" }\n",
     "t.conf:1: store: certificate: expected it together with key\n"},
    {"store \"redis\" { url = \"redis://:p@h\" password-file = \"/x\" }\n",
     "t.conf:1: store: password-file: expected only one password, and the url has one\n"},
    {"store \"redis\" { password-file = \"/nowhere/at/all\" }\n",
     "t.conf:1: store: password-file: /nowhere/at/all: No such file or directory\n"},
    {"store \"redis\" { password-file = \"/dev/null\" }\n",
     "t.conf:1: store: password-file: /dev/null: there is no password in it\n"},
    {"store \"redis\" { password-file = \"/dev/zero\" }\n",
     "t.conf:1: store: password-file: /dev/zero: too long for a password\n"},
    {"store \"redis\" {}\nstore \"redis\" {}\n", "~syntax: found duplicate title 'redis'"},
    {"webhook \"b\" { }\n", "t.conf:1: webhook: url: expected one\n"},
    {"webhook \"b.c\" { url = \"https://x.y/\" topic = a }\n",
     "t.conf:1: webhook: a webhook's name has letters, digits, '-' and '_' only, found \"b.c\"\n"},
    {"webhook \"b\" {\n url = \"https://x.y/\" topic = \"a.#.b\"\n secret = whsec_short\n }\n",
     "t.conf:2: topic: filter has # before its last level, found \"a.#.b\"\n"
     "t.conf:3: secret: expected whsec_ and base64 of 24 to 64 bytes, or whsk_ and an Ed25519 "
     "key\n"},
    {"webhook \"b\" { url = \"http://x.y/\" topic = a }\n",
     "t.conf:1: webhook: url: expected https:// (or insecure = true, for what is sent in the "
     "clear)\n"},
    {"user \"alice\" { publish = { \"#\" } }\n", "t.conf:1: user: not supported by this version\n"},
    {"memory = 1MiB\nmax-message = 2MiB\n", "~t.conf:2: max-message: expected at most memory"},
    {"max-message = 129MiB\n", "~t.conf:1: max-message: expected at most limits reassembly-max"},
    {"limits {\n reassembly-max = 1MiB }\n", "~t.conf:2: max-message: expected at most limits"},
};

START_TEST(mistake)
{
    struct settings *s = NULL;
    struct told told = {""};
    const char *want = mistakes[_i].told;
    int r = settings_load_text("t.conf", slice_str(mistakes[_i].text), NULL, on_error, &told, &s);

    ck_assert_msg(r == -EINVAL, "%s: %d", mistakes[_i].text, r);
    ck_assert_ptr_null(s);
    if (*want == '~')
        ck_assert_msg(strstr(told.text, want + 1) != NULL, "%s", told.text);
    else
        ck_assert_str_eq(told.text, want);
}
END_TEST

/* A key and a certificate of its own, into one file. */
static void write_certificate(const char *path)
{
    FILE *f = fopen(path, "w");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    ck_assert(f && key && x);
    ck_assert(X509_gmtime_adj(X509_getm_notBefore(x), 0) &&
              X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    ck_assert(X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256()));
    ck_assert(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && PEM_write_X509(f, x));
    ck_assert_int_eq(fclose(f), 0);
    X509_free(x);
    EVP_PKEY_free(key);
}

START_TEST(stores)
{
    char path[] = "/tmp/brokerd-test-XXXXXX", text[512], pem[64];
    int fd = mkstemp(path);
    struct settings *s = load("");

    ck_assert(!s->journal.used && !s->redis.used);
    settings_free(s);
    ck_assert_int_eq(write(fd, "pass word\r\n", 11), 11);
    close(fd);
    snprintf(pem, sizeof pem, "%s.pem", path);
    write_certificate(pem);
    snprintf(
        text, sizeof text,
        "store \"redis\" { url = \"rediss+cluster://a,b:7\" password-file = \"%s\" timeout = 3s\n"
        " prefix = x ca = \"%s\" certificate = \"%s\" key = \"%s\" node = n1 }\n"
        "queue \"r\" { durable = \"redis+9\" }\n",
        path, pem, pem, pem);
    s = load(text);
    unlink(path);
    unlink(pem);
    ck_assert(s->redis.used && !s->journal.used);
    ck_assert_str_eq(s->redis.url, "rediss+cluster://a,b:7");
    ck_assert_str_eq(s->redis.password, "pass word");
    ck_assert_str_eq(s->redis.certificate, pem);
    ck_assert_str_eq(s->redis.node, "n1");
    ck_assert_int_eq(s->redis.timeout_ms, 3000);
    ck_assert_uint_eq(policy_set_find_queue(s->policies, SLICE("r"))->policy.replicas, 9);
    settings_free(s);
    s = load(
        "queue \"q\" { durable = journal } store \"journal\" { max-disk = 1GiB segment = 1MiB }");
    ck_assert(s->journal.used);
    ck_assert_str_eq(s->journal.path, "/var/lib/brokerd");
    ck_assert_uint_eq(s->journal.max_disk, 1 << 30);
    ck_assert_uint_eq(s->journal.segment, 1 << 20);
    ck_assert(!s->journal.accept_damage);
    ck_assert_int_eq(policy_set_find_queue(s->policies, SLICE("q"))->policy.durable,
                     DURABLE_JOURNAL);
    settings_free(s);
}
END_TEST

static const struct {
    const char *url, *host; /* host NULL: refused */
    uint16_t port;
    bool loopback;
} urls[] = {
    {"tcp://127.0.0.1:1", "127.0.0.1", 1, true},
    {"tcp://127.9.9.9", "127.9.9.9", 7070, true},
    {"tcp://localhost:65535", "localhost", 65535, true},
    {"tcp://[::1]:0", "::1", 0, true},
    {"tcp://[::]:1", "::", 1, false},
    {"tcp://[::1]", "::1", 7070, true},
    {"tcp://10.0.0.1:1", "10.0.0.1", 1, false},
    {"tcp://localhost.evil.org:1", "localhost.evil.org", 1, false},
    {"tcp://127.0.0.1.evil.org:1", "127.0.0.1.evil.org", 1, false},
    {"tcp://", NULL, 0, false},
    {"tcp://:1", NULL, 0, false},
    {"tcp://a:", NULL, 0, false},
    {"tcp://a:65536", NULL, 0, false},
    {"tcp://a:1x", NULL, 0, false},
    {"tcp://a:-1", NULL, 0, false},
    {"tcp://::1:1", NULL, 0, false},
    {"tcp://[::1", NULL, 0, false},
    {"tcp://[::1]1", NULL, 0, false},
    {"tcp://[]:1", NULL, 0, false},
    {"tcp://a b:1", NULL, 0, false},
    {"tcp://a/b:1", NULL, 0, false},
    {"unix://relative", NULL, 0, false},
    {"unix:///", NULL, 0, false},
    {"unix://", NULL, 0, false},
    {"TCP://a:1", NULL, 0, false},
    {"http://a", NULL, 0, false},
    {"", NULL, 0, false},
};

START_TEST(listener_url)
{
    struct settings_listener l;
    char err[SETTINGS_ERROR_MAX] = "";
    int r = settings_listener_parse(slice_str(urls[_i].url), &l, err, sizeof err);

    if (!urls[_i].host) {
        ck_assert_msg(r == -EINVAL && *err, "%s", urls[_i].url);
        return;
    }
    ck_assert_msg(r == 0, "%s: %s", urls[_i].url, err);
    ck_assert_str_eq(l.host, urls[_i].host);
    ck_assert_str_eq(l.url, urls[_i].url);
    ck_assert_uint_eq(l.port, urls[_i].port);
    ck_assert(l.loopback == urls[_i].loopback);
    ck_assert(l.manage == l.loopback);
    ck_assert_int_eq(settings_listener_check(&l, err, sizeof err), l.loopback ? 0 : -EINVAL);
    free(l.url);
}
END_TEST

START_TEST(longest_names)
{
    struct settings_listener l;
    char err[SETTINGS_ERROR_MAX], url[512] = "unix:///";

    memset(url + 8, 'x', 106);
    ck_assert_int_eq(settings_listener_parse(slice_str(url), &l, err, sizeof err), 0);
    ck_assert_uint_eq(strlen(l.path), 107);
    free(l.url);
    url[8 + 106] = 'x';
    ck_assert_int_eq(settings_listener_parse(slice_str(url), &l, err, sizeof err), -EINVAL);
    memcpy(url, "tcp://xx", 8);
    memset(url + 8, 'x', 253);
    ck_assert_int_eq(settings_listener_parse(slice_str(url), &l, err, sizeof err), 0);
    free(l.url);
    url[8 + 253] = 'x';
    ck_assert_int_eq(settings_listener_parse(slice_str(url), &l, err, sizeof err), -EINVAL);
}
END_TEST

START_TEST(too_many_listeners)
{
    char text[16384] = "";
    struct settings *s = NULL;
    struct told told = {""};

    for (int i = 0; i <= SETTINGS_LISTENERS_MAX; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text),
                       "listen \"tcp://127.0.0.1:%d\" {}\n", i);
    ck_assert_int_eq(settings_load_text("t.conf", slice_str(text), NULL, on_error, &told, &s),
                     -EINVAL);
    ck_assert_str_eq(told.text, "t.conf:65: listen: expected at most 64 of them\n");
}
END_TEST

START_TEST(overrides)
{
    static const char *const listen_urls[] = {"tcp://127.0.0.1:0", "unix:///run/x"};
    struct settings_overrides over = {
        .workers = 2, .listen_urls = listen_urls, .n_listen_urls = 2, .verbose = 1};
    struct settings *s = NULL;
    struct told told = {""};

    ck_assert_int_eq(
        settings_load_text("t.conf", slice_str(everything), &over, on_error, &told, &s), 0);
    ck_assert_uint_eq(s->workers, 2);
    ck_assert_uint_eq(s->n_listeners, 2);
    ck_assert_str_eq(s->listeners[1].path, "/run/x");
    ck_assert_uint_eq(s->log_level, LEVEL_DEBUG); /* there is nothing above */
    settings_free(s);
    over.verbose = 1;
    ck_assert_int_eq(settings_load_text("t.conf", SLICE(""), &over, on_error, &told, &s), 0);
    ck_assert_uint_eq(s->log_level, LEVEL_INFO);
    settings_free(s);
}
END_TEST

START_TEST(files)
{
    char path[] = "/tmp/brokerd-test-XXXXXX";
    struct settings *s = NULL;
    struct told told = {""};
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "workers = 5\n", 12), 12);
    ck_assert_int_eq(settings_load(path, NULL, on_error, &told, &s), 0);
    ck_assert_uint_eq(s->workers, 5);
    ck_assert_str_eq(s->file, path);
    settings_free(s);
    ck_assert_int_eq(write(fd, "\0", 1), 1);
    ck_assert_int_eq(settings_load(path, NULL, on_error, &told, &s), -EINVAL);
    ck_assert_ptr_nonnull(strstr(told.text, ":2: expected text, found a control character"));
    ck_assert_int_eq(ftruncate(fd, SETTINGS_FILE_MAX + 1), 0);
    ck_assert_int_eq(settings_load(path, NULL, on_error, &told, &s), -EINVAL);
    ck_assert_ptr_nonnull(strstr(told.text, "found more"));
    close(fd);
    unlink(path);
    ck_assert_int_eq(settings_load(path, NULL, on_error, &told, &s), -ENOENT);
    ck_assert_ptr_nonnull(strstr(told.text, "cannot be read: No such file"));
    ck_assert_int_eq(settings_load("/tmp", NULL, on_error, &told, &s), -EISDIR);
    ck_assert_int_eq(settings_exit_status(-EISDIR), 78);
    ck_assert_int_eq(settings_exit_status(-EINVAL), 78);
    ck_assert_int_eq(settings_exit_status(-EACCES), 77);
    ck_assert_int_eq(settings_exit_status(-ENOMEM), 71);
}
END_TEST

static void on_change(void *ctx, const struct settings_change *c)
{
    struct told *told = ctx;
    size_t n = strlen(told->text);

    (void)snprintf(told->text + n, sizeof told->text - n, "%s: '%s' -> '%s'%s\n", c->what,
                   c->before, c->after, c->restart ? ", restart" : "");
}

static const struct {
    const char *before, *after, *told;
} changes[] = {
    {"", "", ""},
    {"workers = 2", "workers = 2 memory = 1GiB", ""}, /* the default, said */
    {"workers = 2", "workers = 3 memory = 2GiB",
     "workers: '2' -> '3', restart\nmemory: '1GiB' -> '2GiB'\n"},
    {"", "limits { max-streams = 5 } log { level = debug }",
     "limits max-streams: '10000' -> '5'\nlog level: 'notice' -> 'debug'\n"},
    {"", "listen \"tcp://127.0.0.1:1\" {}",
     "listen \"tcp://127.0.0.1:7070\": '{ insecure = false manage = true protocols = { } }' -> '', "
     "restart\n"
     "listen \"tcp://127.0.0.1:1\": '' -> '{ insecure = false manage = true protocols = { } }', "
     "restart\n"},
    {"listen \"tcp://127.0.0.1:1\" {}", "listen \"tcp://127.0.0.1:1\" { protocols = {rsocket} }",
     "listen \"tcp://127.0.0.1:1\": '{ insecure = false manage = true protocols = { } }' -> "
     "'{ insecure = false manage = true protocols = { rsocket } }', restart\n"},
    {"queue \"a\" { max-messages = 5 }",
     "queue \"a\" { max-messages = 6 bind = {\"x\"} } queue \"b\" {}",
     "queue \"a\" max-messages: '5' -> '6'\n"
     "queue \"a\" bind: '{ }' -> '{ \"x\" }', restart\n"
     "queue \"b\": '' -> '{..}'\n"},
    {"queue \"a\" {} queue \"b\" {} subscription \"#\" {}", "queue \"b\" {} queue \"a\" {}",
     "order of the queue sections: '' -> ''\n"
     "subscription \"#\": '{..}' -> ''\n"},
    {"queue \"a\" {} queue \"b\" {}", "queue \"b\" {}", "queue \"a\": '{..}' -> ''\n"},
    {"", "store \"journal\" {}", "store \"journal\": '' -> '{..}', restart\n"},
    {"store \"redis\" { timeout = 9s }", "", "store \"redis\": '{..}' -> '', restart\n"},
    {"store \"journal\" {}", "store \"journal\" { path = \"/x\" max-disk = 1GiB }",
     "store \"journal\" path: '/var/lib/brokerd' -> '/x', restart\n"
     "store \"journal\" max-disk: 'unlimited' -> '1GiB', restart\n"},
    {"store \"redis\" { url = \"redis://u:old@h\" }",
     "store \"redis\" { url = \"redis://u:new@h\" }",
     "store \"redis\" password: '(hidden)' -> '(hidden)', restart\n"},
    {"store \"redis\" { url = \"redis://u:old@h\" }",
     "store \"redis\" { url = \"redis://u:new@i\" }",
     "store \"redis\" url: 'redis://u@h' -> 'redis://u@i', restart\n"},
};

START_TEST(change)
{
    struct settings *before = load(changes[_i].before), *after = load(changes[_i].after);
    struct told told = {""};
    size_t n = settings_diff(before, after, on_change, &told), lines = 0;

    ck_assert_str_eq(told.text, changes[_i].told);
    for (const char *at = told.text; *at; at++)
        lines += *at == '\n';
    ck_assert_uint_eq(n, lines);
    settings_free(before);
    settings_free(after);
}
END_TEST

static void on_told(void *ctx, const struct settings_told *t)
{
    struct told *told = ctx;
    size_t n = strlen(told->text);

    ck_assert_ptr_nonnull(setting_find(t->section, t->key));
    (void)snprintf(told->text + n, sizeof told->text - n, "%s%s%s %s%s= %s%s\n", t->section,
                   t->title ? " " : "", t->title ? t->title : "", t->key, t->is_list ? " [] " : " ",
                   t->value ? t->value : "(none)", t->restart ? ", restart" : "");
}

START_TEST(what_is_in_force)
{
    struct settings *started = load("workers = 2 memory = 2GiB listen \"tcp://127.0.0.1:1\" {}"
                                    "store \"journal\" { segment = 1MiB }"
                                    "store \"redis\" { url = \"redis://u:tell-nobody@h\" }");
    struct settings *now =
        load("workers = 3 memory = 3GiB listen \"tcp://127.0.0.1:2\" {}"
             "queue \"a.*\" { bind = { \"x\", \"y\" } max-messages = 5 }"
             "subscription \"b\" { max-bytes = 1KiB }"
             "hook \"h\" { topic = t scheme = stripe secret = tell-nobody headers = { X-A, X-B } }"
             "webhook \"c\" { url = \"https://x.y/z?token=tell-nobody\" topic = t "
             "headers = \"A: tell-nobody\" "
             "secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=\" }");
    static const char *const wanted[] = {
        " workers = 2, restart\n",
        " memory = 3GiB\n",
        "limits max-streams = 10000\n",
        "store journal path = /var/lib/brokerd, restart\n",
        "store journal segment = 1MiB, restart\n",
        "store redis url = redis://u@h, restart\n",
        "listen tcp://127.0.0.1:1 protocols [] = (none), restart\n",
        "listen tcp://127.0.0.1:1 manage = true, restart\n",
        "queue a.* bind [] = x, restart\nqueue a.* bind [] = y, restart\n",
        "queue a.* max-messages = 5\n",
        "subscription b max-bytes = 1KiB\n",
        "webhook c topic [] = t\nwebhook c url = https://x.y/z\nwebhook c secret = (hidden)\n",
        "webhook c headers [] = (hidden)\n",
        "hook h scheme = stripe\n",
        "hook h secret = (hidden)\n",
        "hook h tolerance = 5m\n",
        "hook h headers [] = X-A\nhook h headers [] = X-B\n",
    };
    struct told told = {""};
    const struct setting *row;
    char line[80];

    settings_tell(now, started, on_told, &told);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        ck_assert_msg(strstr(told.text, wanted[i]) != NULL, "%s in %s", wanted[i], told.text);
    ck_assert_ptr_null(strstr(told.text, "tell-nobody"));
    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) { /* no key is forgotten */
        (void)snprintf(line, sizeof line, " %s ", row->key);
        if (row->type != SETTING_LATER)
            ck_assert_msg(strstr(told.text, line) != NULL, "%s %s", row->section, row->key);
    }
    settings_free(started);
    settings_free(now);
}
END_TEST

/* The table and its neighbours agree. */
START_TEST(table)
{
    static const char *const kinds[] = {"queue", "subscription"};
    const struct setting *row;
    struct settings *none = load("");
    const char *key;
    char err[SETTINGS_ERROR_MAX], told[SETTING_VALUE_MAX];

    for (size_t i = 0; (row = setting_at(i)) != NULL; i++) {
        if (row->type == SETTING_LATER)
            continue;
        ck_assert_msg(row->text && row->text[strlen(row->text) - 1] == '.', "%s", row->key);
        ck_assert_ptr_eq(setting_find(row->section, row->key), row);
        if (setting_is_scalar(row->type)) {
            ck_assert_msg(setting_check(row, slice_str(row->fallback), err, sizeof err) == 0, "%s",
                          err);
            /* `broker config` marks what differs: it is written as it would be told */
            (void)setting_format(row, none, told, sizeof told);
            ck_assert_msg(row->auto_ || strcmp(told, row->fallback) == 0, "%s: %s", row->key, told);
        }
        if (row->type == SETTING_POLICY)
            ck_assert(policy_has_key(setting_policy_kind(row->section), slice_str(row->key)));
    }
    for (size_t k = 0; k < 2; k++) {
        enum policy_kind kind = setting_policy_kind(kinds[k]);

        for (size_t i = 0; (key = policy_key_name(kind, i)) != NULL; i++)
            ck_assert_msg(setting_find(kinds[k], key) != NULL, "%s %s", kinds[k], key);
    }
    settings_free(none);
}
END_TEST

#define ROWS(rows) ((int)(sizeof(rows) / sizeof *(rows)))

int main(void)
{
    Suite *s = suite_create("settings");
    TCase *tc = tcase_create("settings");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, defaults);
    tcase_add_test(tc, every_kind_of_key);
    tcase_add_loop_test(tc, mistake, 0, ROWS(mistakes));
    tcase_add_test(tc, stores);
    tcase_add_loop_test(tc, listener_url, 0, ROWS(urls));
    tcase_add_test(tc, longest_names);
    tcase_add_test(tc, too_many_listeners);
    tcase_add_test(tc, overrides);
    tcase_add_test(tc, files);
    tcase_add_loop_test(tc, change, 0, ROWS(changes));
    tcase_add_test(tc, what_is_in_force);
    tcase_add_test(tc, table);
    suite_add_tcase(s, tc);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
