#include "brokerd/doors/http/status.h"

enum { RETRY_SOON_S = 1, RETRY_LATER_S = 5 };

int status_of(enum reason reason)
{
    switch (reason) {
    case REASON_NO_MATCH:
    case REASON_NOT_FOUND:
        return 404;
    case REASON_FULL:
    case REASON_MEMORY:
    case REASON_NO_CREDIT:
    case REASON_LIMIT:
        return 429;
    case REASON_STORE:
    case REASON_DRAINING:
    case REASON_NO_SERVER:
        return 503;
    case REASON_DENIED:
        return 403;
    case REASON_INVALID:
        return 400;
    case REASON_TOO_LARGE:
        return 413;
    default:
        return 500;
    }
}

enum reason status_reason(int status)
{
    switch (status) {
    case 403:
        return REASON_DENIED;
    case 404:
        return REASON_NOT_FOUND;
    case 408:
        return REASON_LIMIT;
    case 413:
    case 431:
        return REASON_TOO_LARGE;
    default:
        return REASON_INVALID;
    }
}

int status_retry_after(enum reason reason)
{
    switch (status_of(reason)) {
    case 429:
        return RETRY_SOON_S;
    case 503:
        return reason == REASON_NO_SERVER ? RETRY_SOON_S : RETRY_LATER_S;
    default:
        return 0;
    }
}

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {207, "Multi-Status"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *status_phrase(int status)
{
    for (unsigned i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Unknown";
}
