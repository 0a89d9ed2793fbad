/* Which addresses a webhook may reach: the first and the last of each range, and their neighbours;
 * every spelling the system's resolver takes. */
#include "brokerd/webhooks/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "brokerd/webhooks/url.h"
#include "tests/unit/webhooks/check_main.h"

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage to = {.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET};
    void *at = to.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&to)->sin_addr
                                       : (void *)&((struct sockaddr_in6 *)&to)->sin6_addr;

    ck_assert_msg(inet_pton(to.ss_family, text, at) == 1, "%s", text);
    return to;
}

static bool is_public(const char *text)
{
    struct sockaddr_storage to = address_of(text);

    return address_is_public((const struct sockaddr *)&to);
}

static const char *const inside[] = {
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    /* IPv6 */
    "::",
    "::1",
    "fc00::",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::",
    "fe80::1",
    "febf:ffff::",
    "fec0::1",
    "feff::1",
    "ff00::",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::",
    "2001:db8:ffff::1",
    "2001::1",
    "2001:1ff:ffff::",
    "3fff::1",
    "3fff:fff::1",
    "100::1",
    "100::ffff",
    "64:ff9b:1::1",
    "5f00::1",
    "fd00:ec2::254",
    /* IPv6 that stands for IPv4 */
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::10.0.0.1",
    "::ffff:0:192.168.1.1",
    "64:ff9b::7f00:1",
    "64:ff9b::192.168.0.1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:1::1",
    "2002:a00:1:ffff::",
};

static const char *const outside[] = {
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    /* IPv6 */
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "fbff::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2001:db7::1",
    "2001:db9::1",
};

START_TEST(inside_is_not_public)
{
    ck_assert_msg(!is_public(inside[_i]), "%s", inside[_i]);
}
END_TEST

START_TEST(outside_is)
{
    ck_assert_msg(is_public(outside[_i]), "%s", outside[_i]);
}
END_TEST

START_TEST(another_family_is_not)
{
    struct sockaddr_storage to = {.ss_family = AF_UNIX};

    ck_assert(!address_is_public((const struct sockaddr *)&to));
}
END_TEST

/* Numbers as the resolver reads them: whatever the spelling, the address is judged. */
START_TEST(spellings)
{
    static const char *const loopback[] = {"127.1", "2130706433", "0x7f000001", "0177.0.0.1",
                                           "0x7f.1"};
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *list;

    for (int i = 0; i < COUNT(loopback); i++) {
        ck_assert_msg(getaddrinfo(loopback[i], "80", &hints, &list) == 0, "%s", loopback[i]);
        ck_assert_msg(!address_is_public(list->ai_addr), "%s", loopback[i]);
        freeaddrinfo(list);
    }
}
END_TEST

static const struct {
    const char *range, *in, *out;
} ranges[] = {
    {"127.0.0.0/8", "127.0.0.1", "128.0.0.1"},
    {"127.0.0.1", "127.0.0.1", "127.0.0.2"},
    {"10.1.2.0/23", "10.1.3.255", "10.1.4.0"},
    {"0.0.0.0/0", "8.8.8.8", "::1"},
    {"::/0", "127.0.0.1", NULL},
    {"::1", "::1", "::2"},
    {"fd00::/8", "fd12::1", "fc00::1"},
    {"127.0.0.0/8", "::ffff:127.0.0.1", "::127.0.0.1"},
};

START_TEST(range)
{
    struct sockaddr_storage in = address_of(ranges[_i].in);
    struct cidr c;

    ck_assert_int_eq(cidr_parse(slice_str(ranges[_i].range), &c), 0);
    ck_assert(cidr_has(&c, (const struct sockaddr *)&in));
    if (ranges[_i].out) {
        struct sockaddr_storage out = address_of(ranges[_i].out);

        ck_assert(!cidr_has(&c, (const struct sockaddr *)&out));
    }
}
END_TEST

START_TEST(no_range)
{
    static const char *const bad[] = {"",          "/8",          "10.0.0.0/33", "10.0.0.1/8",
                                      "10.0.0.0/", "10/8",        "::/129",      "::1/64",
                                      "localhost", "10.0.0.0/8 ", "10.0.0.0/-1", "fd00::/8/8"};
    struct cidr c;

    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(cidr_parse(slice_str(bad[i]), &c) < 0, "%s", bad[i]);
}
END_TEST

/* ----------------------------------------------------------------------------------------- URLs */

START_TEST(good_urls)
{
    static const struct {
        const char *url, *base;
    } rows[] = {
        {"https://a.example", "https://a.example"},
        {"https://a.example:8443/x/y?token=1", "https://a.example:8443/x/y"},
        {"http://127.0.0.1:8080/hook", "http://127.0.0.1:8080/hook"},
        {"https://[2606:4700::1]/", "https://[2606:4700::1]/"},
        {"https://[::1]:444?q", "https://[::1]:444"},
        {"https://a_b-c.example/~u/%20;v=1,2", "https://a_b-c.example/~u/%20;v=1,2"},
    };

    for (int i = 0; i < COUNT(rows); i++) {
        struct url u;

        ck_assert_msg(!url_error(slice_str(rows[i].url), &u), "%s", rows[i].url);
        ck_assert_msg(slice_eq(u.base, slice_str(rows[i].base)), "%s", rows[i].url);
        ck_assert(u.is_https == (rows[i].url[4] == 's'));
    }
}
END_TEST

START_TEST(bad_urls)
{
    static const char *const bad[] = {
        "",
        "https://",
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a/",
        "a.example",
        "https://user@a.example/",
        "https://user:pw@a.example/",
        "https://a.example/#x",
        "https://a.example/ x",
        "https://a.example/\r\nHost: b",
        "https://a.example/\t",
        "https://a.example\\@b.example/",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:22/",
        "https://a.example:6379/",
        "https://a.example:x/",
        "https://a.example:/",
        "https://[::1/",
        "https://[]/",
        "https://[::1]x/",
        "https:///x",
        "https://?x",
        "https://:80/",
        "https://a%2eb/",
        "https://\xc3\xa4.example/",
        "HTTPS://a/",
        "https://a.example/<x>",
        "https://a.example/{x}",
    };
    char longest[URL_MAX + 2] = "https://a.example/";

    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(url_error(slice_str(bad[i]), NULL) != NULL, "%s", bad[i]);
    memset(longest + strlen(longest), 'x', URL_MAX - strlen(longest));
    ck_assert(!url_error(slice_str(longest), NULL));
    longest[URL_MAX] = 'x';
    ck_assert(url_error(slice_str(longest), NULL) != NULL);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_loop_test(tc, inside_is_not_public, 0, COUNT(inside));
    tcase_add_loop_test(tc, outside_is, 0, COUNT(outside));
    tcase_add_test(tc, another_family_is_not);
    tcase_add_test(tc, spellings);
    tcase_add_loop_test(tc, range, 0, COUNT(ranges));
    tcase_add_test(tc, no_range);
    tcase_add_test(tc, good_urls);
    tcase_add_test(tc, bad_urls);
}

int main(void)
{
    return check_run("address", add);
}
