/*
 * The rules of a request, in this order: shape, URL, method and body, rows, dry-run, header fields, the address where the URL names one; then, for
 * the credential: manifest's origin, no redirect before, the record's origins. The first one that fails decides. What passes is copied.
 */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "job.h"

#define COPY_MAX (IFAB_EGRESS_BODY_MAX + ((size_t)1 << 20))

static bool short_text(struct ifab_view text, size_t most)
{
    return text.size > 0 && text.size <= most && text.data != NULL && memchr(text.data, 0, text.size) == NULL;
}
static bool key_valid(struct ifab_view key)
{
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] <= 0x20 || key.data[i] >= 0x7f)
            return false;
    }
    return key.size <= 255;
}
static ifab_status refuse(struct ifab_egress_problem *problem, ifab_status status, enum ifab_egress_failure failure, const char *detail)
{
    if (detail == NULL)
        ifab_egress__problem(problem, failure, NULL);
    else
        ifab_egress__problem(problem, failure, "%s", detail);
    return status;
}

/* What the caller, not the guest, answers for. */
static ifab_status check_shape(const struct ifab_egress_request *r, struct ifab_egress_problem *problem)
{
    bool good = r->version == IFAB_EGRESS_ABI && short_text(r->tenant, 256) && short_text(r->capability, 256) &&
                r->row_count <= IFAB_EGRESS_ROWS_MAX && r->exception_count <= IFAB_EGRESS_EXCEPTIONS_MAX &&
                r->listener_count <= IFAB_EGRESS_LISTENERS_MAX && r->timeout >= 1000 && r->timeout <= IFAB_EGRESS_TIMEOUT_MAX &&
                r->response_max <= IFAB_EGRESS_RESPONSE_MAX && r->attempts >= 1 && r->attempts <= IFAB_EGRESS_ATTEMPTS_MAX &&
                r->backoff_count <= IFAB_EGRESS_BACKOFF_MAX && r->wall >= 0;
    if (good && r->credential != NULL)
        good = r->credential->lend != NULL && short_text(r->credential->id, 128);
    return good ? IFAB_OK : refuse(problem, IFAB_INVALID, IFAB_EGRESS_REQUEST, "a member outside of its bounds");
}
static ifab_status check_method(const struct ifab_egress_request *r, struct ifab_egress_job *job, struct ifab_egress_problem *problem)
{
    if (!ifab_egress_method_parse(r->method, &job->method))
        return refuse(problem, IFAB_INVALID, IFAB_EGRESS_REQUEST, "no method GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS");
    job->socket = ifab_scheme_is_socket(job->url.origin.scheme);
    if (job->socket && (job->method != IFAB_EGRESS_METHOD_GET || r->idempotency_key.size > 0 || r->attempts > 1))
        return refuse(problem, IFAB_INVALID, IFAB_EGRESS_REQUEST, "a WebSocket begins with GET, once");
    if (r->body.size > 0 && !ifab_egress_method_has_body(job->method))
        return refuse(problem, IFAB_INVALID, IFAB_EGRESS_REQUEST, "a body with a method that has none");
    if (r->body.size > IFAB_EGRESS_BODY_MAX)
        return refuse(problem, IFAB_TOO_LARGE, IFAB_EGRESS_TOO_LARGE, "the body");
    if (!key_valid(r->idempotency_key))
        return refuse(problem, IFAB_INVALID, IFAB_EGRESS_REQUEST, "an idempotency key is at most 255 visible ASCII characters");
    return IFAB_OK;
}
static ifab_status check_rows(const struct ifab_egress_request *r, const struct ifab_egress_job *job, struct ifab_egress_problem *problem)
{
    const struct ifab_egress_row *fits = NULL; /* the first one decides: what it closes no later row opens */
    for (size_t i = 0; i < r->row_count && fits == NULL; i++)
        fits = ifab_egress_row_matches(&r->rows[i], &job->url, job->method) ? &r->rows[i] : NULL;
    if (fits != NULL && !fits->beyond && (!r->dry_run || fits->read))
        return IFAB_OK;
    ifab_egress__problem(problem, fits == NULL ? IFAB_EGRESS_ROW : fits->beyond ? IFAB_EGRESS_EFFECT : IFAB_EGRESS_DRY_RUN, "%s %s://" IFAB_FMT ":%u", ifab_egress_method_name(job->method),
                         ifab_scheme_name(job->url.origin.scheme), IFAB_ARG(job->url.origin.host), job->url.origin.port);
    return IFAB_DENIED;
}
static ifab_status check_headers(const struct ifab_egress_request *r, struct ifab_egress_problem *problem)
{
    struct ifab_error err = {.status = IFAB_OK};
    ifab_status status = ifab_egress_headers_check(r->headers, r->header_count, &err);
    return status == IFAB_OK ? IFAB_OK : refuse(problem, status, IFAB_EGRESS_REQUEST, err.text);
}

enum ifab_egress_failure ifab_egress__judge(const struct ifab_egress_job *job, const struct ifab_address *address, uint16_t port, bool is_local,
                                            enum ifab_address_class *ret_class)
{
    if (port != job->url.origin.port)
        return IFAB_EGRESS_FORBIDDEN_ADDRESS;
    switch (ifab_address_judge(address, port, is_local, job->capability, job->exceptions, job->exception_count, job->listeners, job->listener_count,
                               ret_class)) {
    case IFAB_ADDRESS_PERMITTED:
        return IFAB_EGRESS_NONE;
    case IFAB_ADDRESS_IS_OURS:
        return IFAB_EGRESS_OWN_LISTENER;
    case IFAB_ADDRESS_IS_NEVER:
        return IFAB_EGRESS_FORBIDDEN_ADDRESS;
    case IFAB_ADDRESS_REFUSED:
        break;
    }
    return IFAB_EGRESS_ADDRESS;
}
static ifab_status check_literal(const struct ifab_egress_job *job, struct ifab_egress_problem *problem)
{
    enum ifab_address_class class_ = IFAB_ADDRESS_UNKNOWN;
    if (!job->url.is_address)
        return IFAB_OK; /* judged when it is connected to */
    enum ifab_egress_failure failure = ifab_egress__judge(job, &job->url.address, job->url.origin.port, false, &class_);
    return failure == IFAB_EGRESS_NONE ? IFAB_OK : refuse(problem, IFAB_DENIED, failure, ifab_address_class_text(class_));
}

static void add_part(struct ifab_sha256 *hash, struct ifab_view part)
{
    uint64_t size = part.size;
    ifab_sha256_add(hash, ifab_view_of(&size, sizeof size));
    ifab_sha256_add(hash, part);
}
static void add_origin(struct ifab_sha256 *hash, const struct ifab_origin_parts *origin)
{
    add_part(hash, ifab_view_str(ifab_scheme_name(origin->scheme)));
    add_part(hash, origin->host);
    add_part(hash, ifab_view_of(&origin->port, sizeof origin->port));
}
void ifab_egress__target(const struct ifab_url *url, uint8_t ret_digest32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    add_origin(&hash, &url->origin);
    add_part(&hash, url->path);
    ifab_sha256_end(&hash, ret_digest32);
}
static void name_pool(const struct ifab_egress_request *r, struct ifab_egress_job *job)
{
    struct ifab_sha256 hash;
    ifab_sha256(r->tenant, job->tenant32);
    ifab_sha256_begin(&hash);
    add_part(&hash, r->tenant);
    add_part(&hash, r->capability);
    add_origin(&hash, &job->url.origin);
    if (r->credential != NULL) {
        add_part(&hash, r->credential->id);
        add_part(&hash, ifab_view_str(ifab_credential_as_name(r->credential->as)));
        add_part(&hash, r->credential->field);
    }
    ifab_sha256_end(&hash, job->pool32);
}

static ifab_status copy_headers(const struct ifab_egress_request *r, struct ifab_egress_job *job)
{
    for (size_t i = 0; i < r->header_count; i++) {
        struct ifab_egress_header *to = &job->headers[job->header_count++];
        IFAB_TRY(ifab_arena_copy(&job->arena, r->headers[i].name, &to->name));
        IFAB_TRY(ifab_arena_copy(&job->arena, r->headers[i].value, &to->value));
    }
    if (r->idempotency_key.size > 0) {
        struct ifab_egress_header *to = &job->headers[job->header_count++];
        to->name = IFAB_VIEW("Idempotency-Key");
        IFAB_TRY(ifab_arena_copy(&job->arena, r->idempotency_key, &to->value));
    }
    return IFAB_OK;
}
static ifab_status copy_nets(const struct ifab_egress_request *r, struct ifab_egress_job *job)
{
    struct ifab_view all;
    struct ifab_egress_exception *kept = ifab_arena_calloc(&job->arena, r->exception_count + 1, sizeof *kept);
    if (kept == NULL)
        return IFAB_NOMEM;
    for (size_t i = 0; i < r->exception_count; i++) { /* those of others do not matter */
        if (!ifab_view_equal(r->exceptions[i].capability, r->capability))
            continue;
        kept[job->exception_count] = r->exceptions[i];
        kept[job->exception_count++].capability = job->capability;
    }
    job->exceptions = kept;
    IFAB_TRY(ifab_arena_copy(&job->arena, ifab_view_of(r->listeners, r->listener_count * sizeof *r->listeners), &all));
    job->listeners = (const struct ifab_egress_listener *)(const void *)all.data;
    job->listener_count = r->listener_count;
    return IFAB_OK;
}
static ifab_status copy(const struct ifab_egress_request *r, struct ifab_egress_job *job)
{
    job->call = r->call;
    job->tag = r->tag;
    job->timeout = r->timeout;
    job->response_max = r->response_max;
    job->repeatable = r->idempotent || r->idempotency_key.size > 0;
    job->retry = (struct ifab_retry_policy){.attempts = r->attempts, .repeatable = job->repeatable, .backoff_count = r->backoff_count};
    memcpy(job->retry.backoff, r->backoff, sizeof r->backoff);
    memcpy(job->random, r->random, sizeof r->random);
    IFAB_TRY(ifab_arena_copy(&job->arena, r->capability, &job->capability));
    IFAB_TRY(ifab_arena_copy(&job->arena, r->body, &job->body));
    IFAB_TRY(copy_headers(r, job));
    return copy_nets(r, job);
}

ifab_status ifab_egress__job_new(const struct ifab_egress_request *r, struct ifab_egress_job **ret_job, struct ifab_egress_problem *problem)
{
    struct ifab_error err = {.status = IFAB_OK};
    struct ifab_view url;
    IFAB_TRY(check_shape(r, problem));
    struct ifab_egress_job *job = ifab_calloc(1, sizeof *job);
    if (job == NULL)
        return IFAB_NOMEM;
    ifab_arena_init(&job->arena, COPY_MAX);
    ifab_buf_init(&job->storage, IFAB_CREDENTIAL_STORAGE);
    ifab_status status = r->url.size > IFAB_URL_MAX ? IFAB_INVALID : ifab_arena_copy(&job->arena, r->url, &url);
    if (status == IFAB_OK && (status = ifab_url_parse(url, &job->url, &err)) != IFAB_OK)
        (void)refuse(problem, status, IFAB_EGRESS_URL, err.text);
    else if (status == IFAB_INVALID)
        (void)refuse(problem, status, IFAB_EGRESS_URL, "too long");
    if (status == IFAB_OK)
        status = check_method(r, job, problem);
    if (status == IFAB_OK)
        status = check_rows(r, job, problem);
    if (status == IFAB_OK)
        status = check_headers(r, problem);
    if (status == IFAB_OK)
        status = copy(r, job);
    if (status == IFAB_OK)
        status = check_literal(job, problem);
    if (status != IFAB_OK) {
        ifab_egress__job_free(job);
        return status;
    }
    name_pool(r, job);
    *ret_job = job;
    return IFAB_OK;
}

struct lending {
    struct ifab_egress_job *job;
    const struct ifab_egress_request *request;
    struct ifab_error err;
    unsigned calls;
};
static ifab_status inject(void *user, struct ifab_view secret)
{
    struct lending *lending = user;
    struct ifab_egress_job *job = lending->job;
    const struct ifab_egress_credential *c = lending->request->credential;
    if (lending->calls++ > 0)
        return IFAB_INVALID; /* once a request */
    struct ifab_signable signable = {&job->url, job->method, job->body, job->headers, job->header_count, lending->request->wall};
    IFAB_TRY(ifab_credential_inject(c->as, c->field, secret, &signable, &job->storage, &job->injection, &lending->err));
    IFAB_TRY(ifab_leak_set_new(&job->own));
    for (size_t i = 0; i < job->injection.value_count; i++)
        IFAB_TRY(ifab_leak_set_add(job->own, job->injection.values[i]));
    return ifab_leak_set_seal(job->own);
}
static ifab_status lend(struct ifab_egress_job *job, const struct ifab_egress_request *r, bool redirected, struct ifab_egress_problem *problem)
{
    struct lending lending = {job, r, {.status = IFAB_OK}, 0};
    struct ifab_origin_parts named;
    struct ifab_buf origin = IFAB_BUF_INIT(512);
    const struct ifab_egress_credential *c = r->credential;
    if (ifab_origin_read(c->origin, &named, NULL) != IFAB_OK || !ifab_origin_same(&named, &job->url.origin))
        return refuse(problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL_ORIGIN, "the manifest names another");
    if (redirected)
        return refuse(problem, IFAB_DENIED, IFAB_EGRESS_REDIRECTED, NULL);
    const struct ifab_signable signable = {&job->url, job->method, job->body, job->headers, job->header_count, r->wall};
    if (ifab_credential_is_set(c->as, c->field, &signable)) /* two of one name are read in two ways */
        return refuse(problem, IFAB_DENIED, IFAB_EGRESS_REQUEST, "the header field or parameter that carries the secret is not a guest's");
    ifab_origin_write(&job->url.origin, &origin);
    ifab_status status = ifab_buf_status(&origin);
    if (status == IFAB_OK)
        status = c->lend(c->user, ifab_buf_as_view(&origin), inject, &lending);
    ifab_buf_fini(&origin);
    if (status == IFAB_NOMEM)
        return status;
    if (status == IFAB_DENIED)
        return refuse(problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL_ORIGIN, "its record names others");
    if (status != IFAB_OK || lending.calls != 1)
        return refuse(problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL, lending.err.text[0] != '\0' ? lending.err.text : NULL);
    job->credentialed = true;
    for (size_t i = 0; i < job->injection.header_count; i++)
        job->headers[job->header_count++] = job->injection.headers[i];
    return IFAB_OK;
}
ifab_status ifab_egress__job_seal(struct ifab_egress_job *job, const struct ifab_egress_request *r, bool redirected,
                                  struct ifab_egress_problem *problem)
{
    struct ifab_buf origin = IFAB_BUF_INIT(512);
    if (r->credential != NULL)
        IFAB_TRY(lend(job, r, redirected, problem));
    ifab_origin_write(&job->url.origin, &origin);
    size_t skip = origin.size, begin = job->storage.size;
    ifab_status status = ifab_buf_status(&origin);
    ifab_buf_fini(&origin);
    IFAB_TRY(status);
    ifab_url_write(&job->url, job->injection.query, &job->storage);
    ifab_buf_char(&job->storage, '\0');
    IFAB_TRY(ifab_buf_status(&job->storage));
    job->url_text = (const char *)job->storage.data + begin;
    job->target = job->url_text + skip;
    return IFAB_OK;
}
