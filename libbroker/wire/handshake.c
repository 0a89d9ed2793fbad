#include "libbroker/wire/handshake.h"

#include <openssl/evp.h>
#include <string.h>

enum { KEY_TEXT = 24, KEY_BYTES = 16, SHA1_BYTES = 20 };

bool handshake_is_asked(const struct http_request *r)
{
    return http_has_token(r, "upgrade", "websocket");
}

/* Base64 of exactly 16 bytes. */
static bool is_key(struct slice key)
{
    uint8_t bytes[KEY_TEXT];

    /* 22 characters that count, and the padding; EVP would bear others. */
    return key.n == KEY_TEXT && memcmp(key.p + KEY_TEXT - 2, "==", 2) == 0 &&
           !memchr(key.p, '=', KEY_TEXT - 2) &&
           EVP_DecodeBlock(bytes, key.p, KEY_TEXT) == KEY_BYTES + 2;
}

static bool make_accept(struct slice key, char accept[HANDSHAKE_ACCEPT_MAX])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[KEY_TEXT + sizeof guid - 1], digest[EVP_MAX_MD_SIZE];

    memcpy(text, key.p, KEY_TEXT);
    memcpy(text + KEY_TEXT, guid, sizeof guid - 1);
    if (!EVP_Digest(text, sizeof text, digest, NULL, EVP_sha1(), NULL))
        return false;
    EVP_EncodeBlock((uint8_t *)accept, digest, SHA1_BYTES);
    return true;
}

int handshake_check(const struct http_request *r, char accept[HANDSHAKE_ACCEPT_MAX],
                    const char **ret_why)
{
    struct slice host, key, version;

    *ret_why = NULL;
    if (r->major < 1 || (r->major == 1 && r->minor < 1))
        *ret_why = "WebSocket needs HTTP/1.1";
    else if (!http_field(r, "host", &host) || host.n == 0)
        *ret_why = "the field Host is missing";
    else if (!http_has_token(r, "upgrade", "websocket"))
        *ret_why = "the field Upgrade does not say websocket";
    else if (!http_has_token(r, "connection", "upgrade"))
        *ret_why = "the field Connection does not say Upgrade";
    else if (!http_field(r, "sec-websocket-key", &key))
        *ret_why = "the field Sec-WebSocket-Key is missing";
    else if (!is_key(key))
        *ret_why = "Sec-WebSocket-Key is not 16 bytes in base64";
    if (*ret_why)
        return 400;
    if (!http_field(r, "sec-websocket-version", &version) || !slice_eq(version, SLICE("13"))) {
        *ret_why = "the version of WebSocket spoken here is 13";
        return 426;
    }
    if (!make_accept(key, accept)) {
        *ret_why = "no SHA-1 here";
        return 500;
    }
    return 101;
}

struct slice handshake_without_port(struct slice host)
{
    size_t n = host.n;

    while (n && host.p[n - 1] >= '0' && host.p[n - 1] <= '9')
        n--;
    if (n && host.p[n - 1] == ':')
        host.n = n - 1;
    return host;
}

/* Host and port of an origin that is a page's; empty: it is none. */
static struct slice authority(struct slice origin)
{
    const struct slice schemes[] = {SLICE("http://"), SLICE("https://")};

    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t n = schemes[i].n;

        if (origin.n > n && http_same(slice_of(origin.p, n), schemes[i]))
            return slice_from(origin, n);
    }
    return (struct slice){0};
}

bool handshake_same_host(struct slice origin, struct slice host)
{
    struct slice from = authority(origin);

    return from.n && http_same(handshake_without_port(from), handshake_without_port(host));
}

/* The port of a scheme is left out on both sides, or by a proxy on neither. */
bool handshake_same_origin(struct slice origin, struct slice host)
{
    struct slice from = authority(origin);

    return from.n && http_same(from, host);
}
