/* status.h - what a decoder says of the bytes it was shown. */
#ifndef BROKER_WIRE_STATUS_H
#define BROKER_WIRE_STATUS_H

enum wire_status {
    WIRE_FRAME, /* a whole frame: outputs are set */
    WIRE_MORE,  /* fine so far, come again with more bytes: outputs untouched */
    WIRE_BAD,   /* not this protocol: the decoder says why, the caller what becomes of the peer */
};

#endif
