/* mime.c - the MIME types that RSocket's metadata extensions know by a number. */
#include "libbroker/wire/mime.h"

/* RSocket "Well-known MIME Types"; 0x2b..0x79 are not assigned. */
static const struct slice names[128] = {
    [0x00] = SLICE("application/avro"),
    [0x01] = SLICE("application/cbor"),
    [0x02] = SLICE("application/graphql"),
    [0x03] = SLICE("application/gzip"),
    [0x04] = SLICE("application/javascript"),
    [0x05] = SLICE("application/json"),
    [0x06] = SLICE("application/octet-stream"),
    [0x07] = SLICE("application/pdf"),
    [0x08] = SLICE("application/vnd.apache.thrift.binary"),
    [0x09] = SLICE("application/vnd.google.protobuf"),
    [0x0a] = SLICE("application/xml"),
    [0x0b] = SLICE("application/zip"),
    [0x0c] = SLICE("audio/aac"),
    [0x0d] = SLICE("audio/mp3"),
    [0x0e] = SLICE("audio/mp4"),
    [0x0f] = SLICE("audio/mpeg3"),
    [0x10] = SLICE("audio/mpeg"),
    [0x11] = SLICE("audio/ogg"),
    [0x12] = SLICE("audio/opus"),
    [0x13] = SLICE("audio/vorbis"),
    [0x14] = SLICE("image/bmp"),
    [0x15] = SLICE("image/gif"),
    [0x16] = SLICE("image/heic-sequence"),
    [0x17] = SLICE("image/heic"),
    [0x18] = SLICE("image/heif-sequence"),
    [0x19] = SLICE("image/heif"),
    [0x1a] = SLICE("image/jpeg"),
    [0x1b] = SLICE("image/png"),
    [0x1c] = SLICE("image/tiff"),
    [0x1d] = SLICE("multipart/mixed"),
    [0x1e] = SLICE("text/css"),
    [0x1f] = SLICE("text/csv"),
    [0x20] = SLICE("text/html"),
    [0x21] = SLICE("text/plain"),
    [0x22] = SLICE("text/xml"),
    [0x23] = SLICE("video/H264"),
    [0x24] = SLICE("video/H265"),
    [0x25] = SLICE("video/VP8"),
    [0x26] = SLICE("application/x-hessian"),
    [0x27] = SLICE("application/x-java-object"),
    [0x28] = SLICE("application/cloudevents+json"),
    [0x29] = SLICE("application/x-capnp"),
    [0x2a] = SLICE("application/x-flatbuffers"),
    [0x7a] = SLICE("message/x.rsocket.mime-type.v0"),
    [0x7b] = SLICE("message/x.rsocket.accept-mime-types.v0"),
    [0x7c] = SLICE("message/x.rsocket.authentication.v0"),
    [0x7d] = SLICE("message/x.rsocket.tracing-zipkin.v0"),
    [0x7e] = SLICE("message/x.rsocket.routing.v0"),
    [0x7f] = SLICE("message/x.rsocket.composite-metadata.v0"),
};

const char *mime_name(int id)
{
    return id >= 0 && id < 128 ? (const char *)names[id].p : NULL;
}

int mime_id(struct slice name)
{
    for (int id = 0; id < 128; id++) {
        if (names[id].n && slice_eq(names[id], name))
            return id;
    }
    return MIME_UNKNOWN;
}

struct mime mime_of(struct slice name)
{
    return (struct mime){mime_id(name), name};
}
