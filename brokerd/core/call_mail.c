#include "brokerd/core/call_mail.h"

enum { BY_REFERENCE = 16 * 1024 }; /* as in mail.c: a small payload must not pin its block */

static uint8_t *put(uint8_t *to, struct slice s)
{
    if (s.n)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

static bool by_reference(const struct call_payload *p)
{
    return p->block && p->data.n >= BY_REFERENCE;
}

static size_t type_name_n(struct ctype t)
{
    return t.id == CTYPE_NAMED ? t.name.n : 0;
}

static size_t packed_size(const struct call_payload *p)
{
    return p->headers.n + p->native.n + type_name_n(p->type) + (by_reference(p) ? 0 : p->data.n);
}

static void pack(struct packed_payload *to, uint8_t *bytes, const struct call_payload *p,
                 bool complete)
{
    bool refers = by_reference(p);

    *to = (struct packed_payload){
        .form = p->form,
        .block = refers ? block_ref(p->block) : NULL,
        .data = p->data.p,
        .data_n = (uint32_t)p->data.n,
        .headers_n = (uint32_t)p->headers.n,
        .native_n = (uint32_t)p->native.n,
        .has_native = p->native.p != NULL,
        .type_id = p->type.id,
        .type_n = (uint8_t)type_name_n(p->type),
        .complete = complete,
    };
    bytes = put(bytes, p->headers);
    bytes = put(bytes, p->native);
    bytes = put(bytes, slice_of(p->type.name.p, to->type_n));
    if (!refers)
        put(bytes, p->data);
}

struct call_payload call_mail_payload(const struct packed_payload *p, const uint8_t *bytes)
{
    const uint8_t *native = bytes + p->headers_n, *name = native + p->native_n;

    return (struct call_payload){
        .data = slice_of(p->block ? p->data : name + p->type_n, p->data_n),
        .block = p->block,
        .type = {p->type_id, slice_of(name, p->type_n)},
        .headers = slice_of(bytes, p->headers_n),
        .form = p->form,
        .native = slice_of(p->has_native ? native : NULL, p->native_n),
    };
}

/* mail_post() with what the payload refers to. */
static void *post(struct core *c, unsigned to, enum mail_kind kind, size_t size, bool credited,
                  const struct call_payload *p)
{
    size_t refers = by_reference(p) ? p->data.n : 0;
    struct entry *e =
        c->ops->post(c->ctx, to, (size + packed_size(p) + 7) & ~(size_t)7, credited, refers);

    if (e)
        e->kind = (uint16_t)kind;
    return e;
}

bool call_mail_open(struct core *c, unsigned to, enum mail_kind kind, const struct call_route *at,
                    const struct call_request *r)
{
    struct mail_call_open *m = post(c, to, kind, sizeof *m + r->service.n + r->method.n,
                                    kind == MAIL_CALL_BACK, &r->first);

    if (!m)
        return false;
    m->caller = at->caller;
    m->server = at->server;
    m->place = at->place;
    m->tries = at->tries;
    m->more = at->more;
    m->gone = at->gone;
    m->credit = r->credit;
    m->model = (uint8_t)r->model;
    m->service_n = (uint8_t)r->service.n;
    m->method_n = (uint16_t)r->method.n;
    pack(&m->payload, put(put(m->bytes, r->service), r->method), &r->first, r->complete);
    return true;
}

struct call_request call_mail_request(const struct mail_call_open *m)
{
    const uint8_t *method = m->bytes + m->service_n;

    return (struct call_request){
        .model = (enum call_model)m->model,
        .service = slice_of(m->bytes, m->service_n),
        .method = slice_of(method, m->method_n),
        .first = call_mail_payload(&m->payload, method + m->method_n),
        .complete = m->payload.complete,
        .credit = m->credit,
    };
}

bool call_mail_next(struct call *k, const struct call_payload *p, bool complete)
{
    struct mail_call_next *m =
        post(k->core, handle_worker(k->remote), MAIL_CALL_NEXT, sizeof *m, true, p);

    if (!m)
        return false;
    m->call = k->remote;
    pack(&m->payload, m->bytes, p, complete);
    return true;
}

static struct mail_call *post_call(struct core *c, enum mail_kind kind, handle_t to, size_t text_n)
{
    struct mail_call *m = mail_post(c, handle_worker(to), kind, sizeof *m + text_n, true);

    if (!m)
        return NULL;
    m->call = to;
    m->other = m->n = 0;
    m->code = m->reason = 0;
    m->text_n = (uint32_t)text_n;
    return m;
}

bool call_mail_word(struct core *c, enum mail_kind kind, handle_t to, uint64_t n, handle_t other)
{
    struct mail_call *m = post_call(c, kind, to, 0);

    if (!m)
        return false;
    m->n = n;
    m->other = other;
    return true;
}

bool call_mail_error(struct core *c, handle_t to, const struct call_error *e)
{
    struct mail_call *m = post_call(c, MAIL_CALL_ERROR, to, e->text.n);

    if (!m)
        return false;
    m->code = e->code;
    m->reason = e->reason;
    put(m->bytes, e->text);
    return true;
}

/* Said later than it was to be, an error has the reason's own text. */
static bool owed_error(const struct call *k)
{
    const struct owed *o = &k->owed;
    const struct call_error e = {o->code, (enum reason)o->reason,
                                 o->reason ? slice_str(reason_name((enum reason)o->reason))
                                           : SLICE("the call failed")};

    return call_mail_error(k->core, k->remote, &e);
}

bool call_mail_owed(struct call *k)
{
    struct owed *o = &k->owed;

    if (o->n && !call_mail_word(k->core, MAIL_CALL_N, k->remote, o->n, 0))
        return false;
    o->n = 0;
    if (o->complete && !call_mail_word(k->core, MAIL_CALL_COMPLETE, k->remote, 0, 0))
        return false;
    o->complete = false;
    if (o->cancel && !call_mail_word(k->core, MAIL_CALL_CANCEL, k->remote, 0, 0))
        return false;
    o->cancel = false;
    if (o->error && !owed_error(k))
        return false;
    o->error = false;
    return true;
}

void call_mail_release(struct entry *e)
{
    if (e->kind == MAIL_CALL_OPEN || e->kind == MAIL_CALL_BACK)
        block_unref(((struct mail_call_open *)e)->payload.block);
    else if (e->kind == MAIL_CALL_NEXT)
        block_unref(((struct mail_call_next *)e)->payload.block);
}
