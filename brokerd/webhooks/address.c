#include "brokerd/webhooks/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libbroker/base/units.h"

/* Every address is judged as 16 bytes; IPv4 as ::ffff:a.b.c.d. */
static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool to_bytes(const struct sockaddr *address, uint8_t ret[16])
{
    if (address->sa_family == AF_INET) {
        memcpy(ret, mapped, sizeof mapped);
        memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        memcpy(ret, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        return true;
    }
    return false;
}

/* Do the first `bits` bits agree? */
static bool agree(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || ((a[bytes] ^ b[bytes]) & (0xff00 >> rest) & 0xff) == 0;
}

/* ------------------------------------------------------------------------------ what is public */

/* The special-purpose registries of IANA (RFC 6890 and its updates), as far as they are not
 * globally reachable; and those that stand for what is behind a translator nearby. */
static const struct {
    uint8_t base[4], bits;
} not_public_v4[] = {
    {{0, 0, 0, 0}, 8},       /* this network */
    {{10, 0, 0, 0}, 8},      /* private */
    {{100, 64, 0, 0}, 10},   /* shared by a provider's customers */
    {{127, 0, 0, 0}, 8},     /* loopback */
    {{169, 254, 0, 0}, 16},  /* link-local: metadata of clouds */
    {{172, 16, 0, 0}, 12},   /* private */
    {{192, 0, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2, 0}, 24},    /* documents */
    {{192, 88, 99, 0}, 24},  /* 6to4 relays, given up */
    {{192, 168, 0, 0}, 16},  /* private */
    {{198, 18, 0, 0}, 15},   /* measurements between networks */
    {{198, 51, 100, 0}, 24}, /* documents */
    {{203, 0, 113, 0}, 24},  /* documents */
    {{224, 0, 0, 0}, 4},     /* multicast */
    {{240, 0, 0, 0}, 4},     /* reserved, broadcast */
};

static bool is_public_v4(const uint8_t v4[4])
{
    for (size_t i = 0; i < sizeof not_public_v4 / sizeof not_public_v4[0]; i++)
        if (agree(v4, not_public_v4[i].base, not_public_v4[i].bits))
            return false;
    return true;
}

/* IPv6 that embeds an IPv4 address, which then decides; `at` is where it stands. */
static const struct {
    uint8_t base[16], bits, at;
} embedding[] = {
    {{[10] = 0xff, [11] = 0xff}, 96, 12}, /* ::ffff:a.b.c.d, mapped */
    {{[8] = 0xff, [9] = 0xff}, 96, 12},   /* ::ffff:0:a.b.c.d, translated */
    {{0}, 96, 12},                        /* ::a.b.c.d, compatible */
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12},   /* 64:ff9b::a.b.c.d, NAT64 */
    {{0x20, 0x02}, 16, 2},                /* 2002:AABB:CCDD::, 6to4 */
};

static const struct {
    uint8_t base[16], bits;
} not_public_v6[] = {
    {{0}, 127},                                 /* :: and ::1 */
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48}, /* a network's own NAT64 */
    {{0x01, 0x00}, 64},                         /* to be discarded */
    {{0x20, 0x01}, 23},                         /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documents */
    {{0x3f, 0xff}, 20},                         /* documents */
    {{0x5f, 0x00}, 16},                         /* segment routing */
    {{0xfc}, 7},                                /* unique local */
    {{0xfe, 0x80}, 10},                         /* link-local */
    {{0xfe, 0xc0}, 10},                         /* site-local, given up */
    {{0xff}, 8},                                /* multicast */
};

bool address_is_public(const struct sockaddr *address)
{
    uint8_t a[16];

    if (!to_bytes(address, a))
        return false;
    for (size_t i = 0; i < sizeof not_public_v6 / sizeof not_public_v6[0]; i++)
        if (agree(a, not_public_v6[i].base, not_public_v6[i].bits))
            return false;
    for (size_t i = 0; i < sizeof embedding / sizeof embedding[0]; i++)
        if (agree(a, embedding[i].base, embedding[i].bits))
            return is_public_v4(a + embedding[i].at);
    return true;
}

/* -------------------------------------------------------------------------------------- ranges */

int cidr_parse(struct slice text, struct cidr *ret)
{
    const uint8_t *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
    size_t n = slash ? (size_t)(slash - text.p) : text.n;
    struct cidr c = {{0}, 128};
    char address[INET6_ADDRSTRLEN];
    uint64_t bits = 128;
    unsigned most = 128;

    if (n >= sizeof address || memchr(text.p, 0, n))
        return -EINVAL;
    memcpy(address, text.p, n);
    address[n] = '\0';
    if (inet_pton(AF_INET, address, c.base + 12) == 1) {
        memcpy(c.base, mapped, sizeof mapped);
        most = 32;
    } else if (inet_pton(AF_INET6, address, c.base) != 1) {
        return -EINVAL;
    }
    bits = most;
    if (slash && units_parse_count(slice_from(text, n + 1), UNITS_ZERO, &bits) < 0)
        return -EINVAL;
    if (bits > most)
        return -EINVAL;
    c.bits = (uint8_t)(bits + 128 - most);
    for (unsigned i = c.bits; i < 128; i++)
        if (c.base[i / 8] & 0x80 >> i % 8)
            return -EINVAL;
    *ret = c;
    return 0;
}

bool cidr_has(const struct cidr *range, const struct sockaddr *address)
{
    uint8_t a[16];

    return to_bytes(address, a) && agree(a, range->base, range->bits);
}

const char *address_text(const struct sockaddr *address, char buf[ADDRESS_TEXT_MAX])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        (void)snprintf(buf, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        (void)snprintf(buf, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        (void)snprintf(buf, ADDRESS_TEXT_MAX, "family %u", address->sa_family);
    }
    return buf;
}
