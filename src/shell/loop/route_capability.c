/*
 * Publishers, the allow-list, revocations; and attempts to load, whose module a reader reads: a large file is not the loop's to wait for.
 * A capability is named in a path by what stands behind if://capability/.
 */
#include <string.h>

#include "base/encode.h"
#include "module/module.h"
#include "calls.h"
#include "node.h"
#include "redact/redact.h"
#include "json/schema.h"

#define LIST_BYTES ((size_t)2 << 20)
#define ID_PREFIX  "if://capability/"

static bool check_id(struct ifab_view text, const char **ret_why)
{
    *ret_why = "if://capability/NAME";
    return ifab_capability_id_valid(text);
}

static bool check_version(struct ifab_view text, const char **ret_why)
{
    *ret_why = "three numbers: 1.0.0";
    return ifab_capability_version_valid(text);
}

#define FIELD_WHY                                                                                        \
    {                                                                                                    \
        .name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable \
    }
#define FIELD_VERSION                                                                                                       \
    {                                                                                                                       \
        .name = "version", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_CAPABILITY_VERSION_MAX, .check = check_version \
    }
static const struct ifab_schema_field namespace_item = {
    .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_CAPABILITY_ID_MAX, .check = ifab_schema_printable};
static const struct ifab_schema_field publisher_fields[] = {
    {.name = "name", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "namespaces", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 1, .max = IFAB_NAMESPACES_MAX, .item = &namespace_item},
    {.name = "not_after", .kind = IFAB_SCHEMA_STRING, .min = 20, .max = 24, .check = ifab_schema_time},
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32},
    FIELD_WHY,
};
static const struct ifab_schema_field why_fields[] = {FIELD_WHY};
static const struct ifab_schema_field allow_fields[] = {{.name = "manifest", .kind = IFAB_SCHEMA_OPEN, .required = true}, FIELD_WHY};
static const struct ifab_schema_field load_fields[] = {FIELD_VERSION, FIELD_WHY};
static const struct ifab_schema_field revocation_fields[] = {
    {.name = "digest", .kind = IFAB_SCHEMA_STRING, .min = 71, .max = 71, .check = ifab_schema_sha256},
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_CAPABILITY_ID_MAX, .check = check_id},
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .min = 43, .max = 43, .check = ifab_schema_key32},
    FIELD_VERSION,
    FIELD_WHY,
};
static const struct ifab_schema publisher_schema = {"publisher", publisher_fields, IFAB_COUNT(publisher_fields)};
static const struct ifab_schema why_schema = {"request", why_fields, IFAB_COUNT(why_fields)};
static const struct ifab_schema allow_schema = {"request", allow_fields, IFAB_COUNT(allow_fields)};
static const struct ifab_schema load_schema = {"request", load_fields, IFAB_COUNT(load_fields)};
static const struct ifab_schema revocation_schema = {"revocation", revocation_fields, IFAB_COUNT(revocation_fields)};

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

static void out_of_memory(struct node *node, struct request *r) { reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory"); }

/* The body's ticket; NULL: answered. */
static struct ticket *act_ticket(struct node *node, struct request *r, const struct ifab_schema *schema, enum ifab_command_type type,
                                 const struct ifab_json **ret_body)
{
    *ret_body = act_body(node, r, schema);
    struct ticket *t = *ret_body == NULL ? NULL : ticket_new(node, r);
    if (t == NULL) {
        if (*ret_body != NULL)
            out_of_memory(node, r);
        return NULL;
    }
    t->command.type = type;
    t->command.why = text_of(*ret_body, "why");
    return t;
}

/* 32 bytes of a field that its schema has checked; NULL: absent, or no memory (*ret_bad). */
static const uint8_t *bytes_of(struct request *r, const struct ifab_json *body, const char *name, bool *ret_bad)
{
    struct ifab_view text = text_of(body, name);
    uint8_t *bytes = text.size == 0 ? NULL : ifab_arena_alloc(&r->arena, 32);
    size_t size = 32;
    if (text.size == 0)
        return NULL;
    ifab_status status = bytes == NULL     ? IFAB_NOMEM
                         : text.size == 71 ? ifab_hex_decode(ifab_view_of(text.data + 7, 64), bytes, 32)
                                           : ifab_base64url_decode(text, bytes, 32, &size);
    *ret_bad = *ret_bad || status != IFAB_OK || size != 32;
    return bytes;
}

/* ---- publishers ---- */

static bool namespaces_of(struct request *r, const struct ifab_json *list, struct ifab_publisher_request *request)
{
    struct ifab_view *namespaces = ifab_arena_calloc(&r->arena, list->u.array.count, sizeof *namespaces);
    for (size_t i = 0; namespaces != NULL && i < list->u.array.count; i++)
        namespaces[i] = list->u.array.items[i].u.string;
    request->namespaces = namespaces;
    request->namespace_count = list->u.array.count;
    return namespaces != NULL;
}

void handle_publisher_add(struct node *node, struct request *r)
{
    const struct ifab_json *body;
    struct ticket *t = act_ticket(node, r, &publisher_schema, IFAB_COMMAND_PUBLISHER, &body);
    bool bad = false;
    if (t == NULL)
        return;
    struct ifab_publisher_request *request = &t->command.u.publisher.request;
    request->name = text_of(body, "name");
    request->pubkey32 = bytes_of(r, body, "pubkey", &bad);
    request->not_after = IFAB_NEVER;
    if (ifab_json_get(body, "not_after") != NULL)
        (void)ifab_time_parse(text_of(body, "not_after"), &request->not_after);
    if (bad || !namespaces_of(r, ifab_json_get(body, "namespaces"), request)) {
        ticket_free(node, t);
        out_of_memory(node, r);
        return;
    }
    queue_act(node, r, t);
}

void handle_publisher_revoke(struct node *node, struct request *r)
{
    const struct ifab_json *body;
    struct ticket *t = act_ticket(node, r, &why_schema, IFAB_COMMAND_PUBLISHER, &body);
    if (t == NULL)
        return;
    t->command.u.publisher.request.name = r->params[0];
    t->command.u.publisher.revoke = true;
    queue_act(node, r, t);
}

/* ---- the allow-list ---- */

/* It stands in the log for good: a text in it that looks like a secret does not come in. Depth is bounded: it was read. */
static bool hits(const struct ifab_json *value)
{
    bool hit = value->type == IFAB_JSON_STRING && ifab_redact_hits_text(value->u.string);
    for (size_t i = 0; !hit && value->type == IFAB_JSON_ARRAY && i < value->u.array.count; i++)
        hit = hits(&value->u.array.items[i]);
    for (size_t i = 0; !hit && value->type == IFAB_JSON_OBJECT && i < value->u.object.count; i++)
        hit = ifab_redact_hits_text(value->u.object.members[i].name) || hits(&value->u.object.members[i].value);
    return hit;
}

void handle_capability_allow(struct node *node, struct request *r)
{
    const struct ifab_json *body;
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    struct ticket *t = act_ticket(node, r, &allow_schema, IFAB_COMMAND_CAPABILITY, &body);
    if (t == NULL)
        return;
    const struct ifab_json *tree = ifab_json_get(body, "manifest");
    struct ifab_manifest *manifest = ifab_arena_alloc(&r->arena, sizeof *manifest);
    enum ifab_code code = manifest == NULL ? ifab_refuse(&refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory")
                                           : ifab_manifest_from_tree(tree, &r->arena, manifest, &refusal);
    if (code == IFAB_CODE_NONE && hits(tree))
        code = ifab_refuse(&refusal, IFAB_CODE_INVALID_MANIFEST, "", "holds a text that looks like a secret, and manifests stand in the log");
    if (code != IFAB_CODE_NONE) {
        ticket_free(node, t);
        reply_error(node, r, &refusal);
        return;
    }
    t->command.u.capability.manifest = manifest;
    queue_act(node, r, t);
}

void handle_revocation(struct node *node, struct request *r)
{
    const struct ifab_json *body;
    struct ticket *t = act_ticket(node, r, &revocation_schema, IFAB_COMMAND_CAPABILITY, &body);
    bool bad = false;
    if (t == NULL)
        return;
    struct ifab_revoke_request *request = &t->command.u.capability.revoke;
    request->id = text_of(body, "id");
    request->version = text_of(body, "version");
    request->digest32 = bytes_of(r, body, "digest", &bad);
    request->pubkey32 = bytes_of(r, body, "pubkey", &bad);
    if (bad) {
        ticket_free(node, t);
        out_of_memory(node, r);
        return;
    }
    queue_act(node, r, t);
}

/* ---- an attempt to load ---- */

struct load_job {
    struct ifab_view id, version, path, why; /* path size 0: nothing of this id; the step says so */
    uint32_t size;
    struct ifab_module module;
    bool read;
    char problem[320];
};

static void run_load(struct node *node, struct ifab_store *store, struct job *job)
{
    struct load_job *l = job->user;
    struct ifab_module_file file = {.bytes = IFAB_BUF_INIT(0)};
    struct ifab_error err = {0};
    (void)store;
    if (l->path.size == 0)
        return;
    l->read = ifab_module_read(node->config.capabilities_dir, l->path, IFAB_MODULE_SIZE_MAX, &file, &err) == IFAB_OK;
    if (l->read) {
        memcpy(l->module.sha256, file.sha256, 32);
        l->module.size = file.bytes.size;
        ifab_module_fini(&file);
    }
    snprintf(l->problem, sizeof l->problem, "%s", err.text);
}

static void finish_load(struct node *node, struct job *job)
{
    struct request *r = job->request;
    struct load_job *l = job->user;
    struct ticket *t = job->code == IFAB_CODE_NONE ? ticket_new(node, r) : NULL;
    struct ifab_module *module = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *module);
    if (job->code != IFAB_CODE_NONE) {
        job_reply(node, job);
        return;
    }
    if (module == NULL || ifab_arena_copy(&t->arena, l->id, &t->command.u.load.id) != IFAB_OK ||
        ifab_arena_copy(&t->arena, l->version, &t->command.u.load.version) != IFAB_OK ||
        ifab_arena_copy(&t->arena, ifab_view_str(l->problem), &t->command.u.load.problem) != IFAB_OK ||
        ifab_arena_copy(&t->arena, l->why, &t->command.why) != IFAB_OK) {
        if (t != NULL)
            ticket_free(node, t);
        out_of_memory(node, r);
    } else {
        *module = l->module;
        t->command.type = IFAB_COMMAND_CAPABILITY_LOAD;
        t->command.u.load.module = l->read ? module : NULL;
        queue_act(node, r, t);
    }
    job_free(job);
}

static bool id_of(struct ifab_arena *arena, struct ifab_view name, struct ifab_view *ret_id)
{
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_CAPABILITY_ID_MAX);
    ifab_buf_str(&text, ID_PREFIX);
    ifab_buf_view(&text, name);
    bool good = ifab_buf_status(&text) == IFAB_OK && ifab_capability_id_valid(ifab_buf_as_view(&text)) &&
                ifab_arena_copy(arena, ifab_buf_as_view(&text), ret_id) == IFAB_OK;
    ifab_buf_fini(&text);
    return good;
}

static void not_an_id(struct node *node, struct request *r)
{
    reply_code(node, r, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id", "no capability can be called so; it is what stands behind " ID_PREFIX);
}

/* Which file it would be is looked up here; whether it may be loaded, the step says: with what is allowed then. */
void handle_capability_load(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &load_schema);
    const struct ifab_allowed *allowed = NULL;
    struct ifab_refusal unused;
    if (body == NULL)
        return;
    struct job *job = job_new(r);
    struct load_job *l = job == NULL ? NULL : ifab_arena_calloc(&job->arena, 1, sizeof *l);
    if (l == NULL) {
        job_free(job);
        out_of_memory(node, r);
        return;
    }
    if (!id_of(&job->arena, r->params[0], &l->id)) {
        job_free(job);
        not_an_id(node, r);
        return;
    }
    l->version = text_of(body, "version");
    l->why = text_of(body, "why");
    enum ifab_code code =
        ifab_registry_find(ifab_fabric_registry(node->fabric), l->id, l->version, clock_now(&node->clock, NULL).wall, &allowed, &unused);
    if (code == IFAB_CODE_NONE && ifab_arena_copy(&job->arena, allowed->manifest->entrypoint.module, &l->path) == IFAB_OK)
        l->version = allowed->manifest->version;
    job->user = l;
    job->run = run_load;
    job->finish = finish_load;
    if (l->version.size > 0 && ifab_arena_copy(&job->arena, l->version, &l->version) != IFAB_OK)
        l->version = IFAB_VIEW("");
    job_push(node, job);
}

/* ---- reads, at their turn in the order of steps ---- */

struct page {
    uint64_t after, limit, shown, last;
    bool more;
    bool granted; /* only what the caller, a talent, may call */
    struct ifab_buf buf;
};

static void page_end(struct ticket *t, struct page *page)
{
    struct ifab_buf *b = &page->buf;
    if (page->more)
        ifab_buf_format(b, "],\"next\":\"%llu\"}", (unsigned long long)page->last);
    else
        ifab_buf_str(b, "],\"next\":null}");
    if (ifab_buf_status(b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(b);
}

static struct page *page_begin(struct ticket *t)
{
    struct page *page = t->user;
    ifab_buf_init(&page->buf, LIST_BYTES * 2);
    ifab_buf_str(&page->buf, "{\"items\":[");
    page->last = page->after;
    return page;
}

static bool page_next(struct page *page) /* there is one more to show: is there room on the page? */
{
    page->more = page->shown == page->limit || page->buf.size > LIST_BYTES;
    if (!page->more && page->shown++ > 0)
        ifab_buf_char(&page->buf, ',');
    return !page->more;
}

static bool may_call(const struct ifab_talent *talent, const struct ifab_manifest *m, ifab_usec wall)
{
    bool may = talent != NULL && ifab_talent_has_grant(talent, m->id, wall);
    for (size_t i = 0; may && i < m->scope_count; i++)
        may = ifab_talent_has_grant(talent, m->scopes[i], wall);
    return may;
}

static void put_capability(const struct node *node, const struct ifab_allowed *allowed, ifab_usec wall, bool with_manifest, struct ifab_buf *buf)
{
    struct ifab_view lacks[IFAB_MANIFEST_CONFIG_MAX];
    size_t count = calls_lacks(node, allowed->manifest, lacks);
    ifab_fabric_capability_json(node->fabric, allowed, wall, lacks, count, with_manifest, buf);
}

static void step_capabilities(struct node *node, struct ticket *t)
{
    const struct ifab_registry *registry = ifab_fabric_registry(node->fabric);
    struct page *page = page_begin(t);
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), t->request->principal.talent);
    const struct ifab_allowed *a = ifab_registry_allowed_next(registry, page->after);
    for (; a != NULL; a = ifab_registry_allowed_next(registry, a->number)) {
        if (page->granted && (ifab_registry_revoked(registry, a) != NULL || !may_call(talent, a->manifest, wall)))
            continue;
        if (!page_next(page))
            break;
        put_capability(node, a, wall, false, &page->buf);
        page->last = a->number;
    }
    page_end(t, page);
}

static void step_granted(struct node *node, struct ticket *t)
{
    ((struct page *)t->user)->granted = true;
    step_capabilities(node, t);
}

static void step_publishers(struct node *node, struct ticket *t)
{
    const struct ifab_registry *registry = ifab_fabric_registry(node->fabric);
    struct page *page = page_begin(t);
    const struct ifab_publisher *p = ifab_registry_publisher_next(registry, page->after);
    for (; p != NULL && page_next(page); p = ifab_registry_publisher_next(registry, p->number)) {
        ifab_buf_view(&page->buf, p->record);
        page->last = p->number;
    }
    page_end(t, page);
}

static void step_revocations(struct node *node, struct ticket *t)
{
    const struct ifab_registry *registry = ifab_fabric_registry(node->fabric);
    struct page *page = page_begin(t);
    const struct ifab_revocation *v = ifab_registry_revocation_next(registry, page->after);
    for (; v != NULL && page_next(page); v = ifab_registry_revocation_next(registry, v->number)) {
        ifab_buf_view(&page->buf, v->record);
        page->last = v->number;
    }
    page_end(t, page);
}

/* One, whole: the newest that is allowed, or ?version=; revoked ones too when they are asked for by version. */
static void step_capability(struct node *node, struct ticket *t)
{
    struct ifab_view id, version = {NULL, 0};
    const struct ifab_allowed *allowed = NULL;
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    struct ifab_buf b = IFAB_BUF_INIT(LIST_BYTES), text = IFAB_BUF_INIT(64);
    if (request_query(t->request, "version", &text))
        version = ifab_buf_as_view(&text);
    if (!id_of(&t->arena, t->request->params[0], &id))
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_CAPABILITY_NOT_ALLOWED, "id", "no capability can be called so");
    else
        t->reply.code = ifab_registry_find(ifab_fabric_registry(node->fabric), id, version, wall, &allowed, &t->reply.refusal);
    if (t->reply.code == IFAB_CODE_NONE) {
        put_capability(node, allowed, wall, true, &b);
        if (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK)
            t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    }
    ifab_buf_fini(&b);
    ifab_buf_fini(&text);
}

static void queue_read(struct node *node, struct request *r, ticket_step_fn *step, bool list)
{
    uint64_t limit = 0, cursor = 0;
    if (list &&
        (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit) || !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 52, 0, &cursor)))
        return;
    struct ticket *t = ticket_new(node, r);
    struct page *page = t == NULL ? NULL : ifab_arena_calloc(&t->arena, 1, sizeof *page);
    if (page == NULL) {
        if (t != NULL)
            ticket_free(node, t);
        out_of_memory(node, r);
        return;
    }
    page->after = cursor;
    page->limit = limit;
    t->user = page;
    t->step = step;
    ticket_queue(node, t);
}

void handle_publishers(struct node *node, struct request *r) { queue_read(node, r, step_publishers, true); }

/* ?granted=1: what the caller may call, by its grants; 509 where nothing can be called at all. */
void handle_capabilities(struct node *node, struct request *r)
{
    struct ifab_error err = {0};
    uint64_t granted;
    if (!request_query_u64(node, r, "granted", 0, 1, 0, &granted))
        return;
    if (granted != 0 && calls_guests(node, &err) == NULL && err.status == IFAB_UNSUPPORTED)
        reply_code(node, r, IFAB_CODE_NOT_SUPPORTED, NULL, err.text);
    else
        queue_read(node, r, granted != 0 ? step_granted : step_capabilities, true);
}

void handle_capability(struct node *node, struct request *r) { queue_read(node, r, step_capability, false); }
void handle_revocations(struct node *node, struct request *r) { queue_read(node, r, step_revocations, true); }
