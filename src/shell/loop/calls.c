/* Calls of capabilities: see calls.h. Everything here is the loop's; a module's file is read on a reader's thread. */
#include "calls.h"

#include <string.h>

#include "base/encode.h"
#include "base/id.h"
#include "base/map.h"
#include "lines.h"
#include "module/module.h"
#include "modules.h"
#include "node.h"
#include "redact/redact.h"

struct call { /* an intent until its outcome stands in the log */
    struct calls *calls;
    struct call *next, *prev;
    struct request *request; /* NULL: nobody waits */
    struct ifab_arena arena;
    uint64_t plan, intent;
    struct ifab_view capability; /* id, without version */
    bool over, queued;       /* it has ended; its outcome is on its way into the log */
    struct ifab_command outcome;
};
struct calls {
    struct node *node;
    struct ifab_guests *guests; /* NULL: not made yet, or closed */
    bool refused, stopping, closed;
    char why[320]; /* refused: why there are none */
    struct modules modules;
    uint64_t registry_version, access_version;
    struct call *first;
    ifab_usec reviewed; /* wall: grants and manifests end by themselves too */
    struct lines lines;
};

static struct calls *calls_of(struct node *node)
{
    if (node->calls == NULL) {
        node->calls = ifab_calloc(1, sizeof *node->calls);
        if (node->calls != NULL)
            node->calls->node = node;
    }
    return node->calls;
}

/* ---- modules ---- */

static const struct call_module *module_of(struct calls *self, const uint8_t manifest32[32]) { return modules_find(&self->modules, manifest32); }

struct module_job {
    calls_module_fn *then;
    void *user;
    struct request *request;
    uint8_t manifest32[32], wanted32[32];
    struct ifab_view id, version, path;
    struct ifab_module about;
    struct ifab_chassis_module *bytes;
    bool read;
    char problem[320];
};

static void run_module(struct node *node, struct ifab_store *store, struct job *job)
{
    struct module_job *m = job->user;
    struct ifab_module_file file = {.bytes = IFAB_BUF_INIT(0)};
    struct ifab_error err = {0};
    (void)store;
    m->read = ifab_module_read(node->config.capabilities_dir, m->path, IFAB_MODULE_SIZE_MAX, &file, &err) == IFAB_OK;
    if (m->read) {
        memcpy(m->about.sha256, file.sha256, 32);
        m->about.size = file.bytes.size;
        if (memcmp(file.sha256, m->wanted32, 32) == 0)
            (void)ifab_guests_module(ifab_buf_as_view(&file.bytes), m->wanted32, &m->bytes, &err);
        ifab_module_fini(&file);
    }
    snprintf(m->problem, sizeof m->problem, "%s", err.text);
}

/* The entry about the attempt stands in the log: go on. The reply says whether it may be loaded (INV-07). */
static void module_loaded(struct node *node, struct ticket *t)
{
    struct module_job *m = t->user;
    struct calls *self = node->calls;
    const struct call_module *place = NULL;
    const char *why = t->reply.code != IFAB_CODE_NONE ? t->reply.refusal.message : m->problem;
    if (t->reply.code == IFAB_CODE_NONE && m->bytes != NULL) {
        place = modules_put(&self->modules, m->manifest32, &m->about, m->bytes); /* two may have asked at once */
        m->bytes = NULL;
    }
    ifab_guests_module_drop(m->bytes);
    m->bytes = NULL;
    m->then(node, m->request, m->user, place, why);
}

static void finish_module(struct node *node, struct job *job)
{
    struct module_job *m = job->user;
    struct ticket *t = job->code == IFAB_CODE_NONE ? ticket_new(node, NULL) : NULL;
    struct module_job *kept = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *kept);
    job->request = NULL; /* the callback's */
    if (kept == NULL || ifab_arena_copy(&t->arena, m->id, &t->command.u.load.id) != IFAB_OK ||
        ifab_arena_copy(&t->arena, m->version, &t->command.u.load.version) != IFAB_OK) {
        if (t != NULL)
            ticket_free(node, t);
        ifab_guests_module_drop(m->bytes);
        m->then(node, m->request, m->user, NULL, job->code != IFAB_CODE_NONE ? job->refusal.message : "out of memory");
        job_free(job);
        return;
    }
    *kept = *m;
    t->command.type = IFAB_COMMAND_CAPABILITY_LOAD;
    t->command.principal = &node->self;
    t->command.why = IFAB_VIEW("needed by a call");
    t->command.u.load.module = m->read ? &kept->about : NULL;
    t->command.u.load.problem = ifab_view_str(kept->problem);
    t->command.u.load.talent = kept->request->principal.kind == IFAB_PRINCIPAL_TALENT ? kept->request->principal.talent : 0;
    t->user = kept;
    t->done = module_loaded;
    job_free(job);
    ticket_queue(node, t);
}

void calls_module(struct node *node, struct request *r, const struct ifab_manifest *manifest, calls_module_fn *then, void *user)
{
    struct calls *self = calls_of(node);
    const struct call_module *there = self == NULL ? NULL : module_of(self, manifest->digest32);
    if (there != NULL) {
        then(node, r, user, there, "");
        return;
    }
    struct job *job = self == NULL ? NULL : job_new(r);
    struct module_job *m = job == NULL ? NULL : ifab_arena_calloc(&job->arena, 1, sizeof *m);
    if (m == NULL || ifab_arena_copy(&job->arena, manifest->id, &m->id) != IFAB_OK || ifab_arena_copy(&job->arena, manifest->version, &m->version) != IFAB_OK ||
        ifab_arena_copy(&job->arena, manifest->entrypoint.module, &m->path) != IFAB_OK) {
        if (job != NULL)
            job->request = NULL;
        job_free(job);
        then(node, r, user, NULL, "out of memory");
        return;
    }
    m->then = then;
    m->user = user;
    m->request = r;
    memcpy(m->manifest32, manifest->digest32, 32);
    memcpy(m->wanted32, manifest->entrypoint.sha256, 32);
    job->user = m;
    job->run = run_module;
    job->finish = finish_module;
    job->always = true; /* one a changing request: those are bounded */
    job_push(node, job);
}

/* ---- what the operator configured ---- */

size_t calls_lacks(const struct node *node, const struct ifab_manifest *manifest, struct ifab_view ret_names[IFAB_MANIFEST_CONFIG_MAX])
{
    struct ifab_view value;
    size_t count = 0;
    for (size_t i = 0; i < manifest->config_count; i++)
        if (!ifab_config_capability_value(&node->config, manifest->name, manifest->config[i], &value))
            ret_names[count++] = manifest->config[i];
    return count;
}

bool calls_config(const struct node *node, const struct ifab_manifest *manifest, struct ifab_arena *arena, struct ifab_view *ret_config, const char **ret_missing)
{
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    struct ifab_view value;
    const char *missing = NULL;
    ifab_buf_char(&b, '{');
    for (size_t i = 0; i < manifest->config_count && missing == NULL; i++) { /* sorted, as the manifest has them */
        if (!ifab_config_capability_value(&node->config, manifest->name, manifest->config[i], &value)) {
            char *text = ifab_arena_calloc(arena, manifest->config[i].size + 1, 1);
            if (text != NULL)
                memcpy(text, manifest->config[i].data, manifest->config[i].size);
            missing = text != NULL ? text : "of memory";
            continue;
        }
        ifab_buf_str(&b, i > 0 ? "," : "");
        ifab_json_put_string(&b, manifest->config[i]);
        ifab_buf_char(&b, ':');
        ifab_json_put_string(&b, value);
    }
    ifab_buf_char(&b, '}');
    bool good = missing == NULL && ifab_buf_status(&b) == IFAB_OK && ifab_arena_copy(arena, ifab_buf_as_view(&b), ret_config) == IFAB_OK;
    ifab_buf_fini(&b);
    *ret_missing = missing;
    return good;
}

/* Rows of egress.allow; texts in the arena of who asks. 0 and err: one that says nothing. */
static ifab_status exceptions_of(const struct node *node, struct ifab_arena *arena, struct ifab_guest_exception **ret, struct ifab_error *err)
{
    struct ifab_guest_exception *rows = ifab_arena_calloc(arena, node->config.egress_allow_count + 1, sizeof *rows);
    for (size_t i = 0; rows != NULL && i < node->config.egress_allow_count; i++) {
        struct ifab_config_egress row;
        const char *why;
        if (!ifab_config_egress_read(ifab_view_str(node->config.egress_allow[i]), &row, &why)) /* the start has looked */
            return ifab_fail(err, IFAB_INVALID, "egress.allow: \"%s\": %s", node->config.egress_allow[i], why);
        char *capability = ifab_arena_calloc(arena, row.name.size + sizeof "if://capability/", 1), *text = ifab_arena_calloc(arena, row.net.size + 1, 1);
        if (capability == NULL || text == NULL)
            return ifab_fail(err, IFAB_NOMEM, "out of memory");
        snprintf(capability, row.name.size + sizeof "if://capability/", "if://capability/" IFAB_FMT, IFAB_ARG(row.name));
        memcpy(text, row.net.data, row.net.size);
        rows[i] = (struct ifab_guest_exception){capability, text, row.port};
    }
    *ret = rows;
    return rows != NULL ? IFAB_OK : ifab_fail(err, IFAB_NOMEM, "out of memory");
}

/* ---- the sandboxes ---- */

static ifab_usec wall_of(void *user) { return clock_now(&((struct calls *)user)->node->clock, NULL).wall; }

/* ---- secrets: named by the log, lent by the vault ---- */

static uint32_t secret_version(void *user, struct ifab_view name)
{
    const struct ifab_secret *secret = ifab_secrets_find(ifab_fabric_secrets(((struct calls *)user)->node->fabric), name);
    return secret == NULL || secret->revoked_at != IFAB_NEVER ? 0 : secret->version;
}

static ifab_status secret_lend(void *user, struct ifab_view name, struct ifab_view origin, ifab_status (*use)(void *use_user, struct ifab_view value),
                               void *use_user)
{
    struct ifab_vault *vault = ((struct calls *)user)->node->vault;
    struct ifab_vault_handle handle;
    ifab_status status = vault == NULL ? IFAB_NOT_FOUND : ifab_vault_find(vault, name, &handle);
    return status != IFAB_OK ? status : ifab_vault_use(vault, handle, origin, use, use_user, NULL);
}

static void secret_asked(struct node *node, struct ticket *t)
{
    struct calls *self = node->calls;
    uint64_t question;
    memcpy(&question, t->user, sizeof question);
    if (self->guests != NULL)
        ifab_guest_secret(self->guests, question, t->reply.code == IFAB_CODE_CONFLICT ? IFAB_CODE_PERMISSION_DENIED : t->reply.code);
}

/* Every access is an entry, denied ones too, and stands in the log before the value goes anywhere (INV-04, INV-09). */
static void secret_ask(void *user, uint64_t question, enum ifab_guest_task task, void *call, struct ifab_view name, struct ifab_view origin)
{
    struct calls *self = user;
    const struct call *c = call;
    bool plain = task == IFAB_GUEST_APPLY || task == IFAB_GUEST_DRY_RUN; /* a look at its health has no intent that could be named */
    struct ticket *t = plain ? ticket_new(self->node, NULL) : NULL;
    uint64_t *kept = t == NULL ? NULL : ifab_arena_alloc(&t->arena, sizeof *kept);
    if (kept == NULL || ifab_arena_copy(&t->arena, name, &t->command.u.secret_get.name) != IFAB_OK ||
        ifab_arena_copy(&t->arena, origin, &t->command.u.secret_get.origin) != IFAB_OK) {
        if (t != NULL)
            ticket_free(self->node, t);
        ifab_guest_secret(self->guests, question, plain ? IFAB_CODE_SYSTEM_ERROR : IFAB_CODE_PERMISSION_DENIED);
        return;
    }
    *kept = question;
    t->command.type = IFAB_COMMAND_SECRET_GET;
    t->command.principal = &self->node->self;
    t->command.u.secret_get.plan = c->plan;
    t->command.u.secret_get.intent = c->intent;
    t->user = kept;
    t->done = secret_asked;
    ticket_queue(self->node, t);
}

struct telling {
    bool (*take)(void *take_user, struct ifab_view value);
    void *take_user;
};
static bool tell_value(void *user, struct ifab_view value)
{
    const struct telling *t = user;
    return !t->take(t->take_user, value); /* true ends it */
}

_Static_assert(IFAB_GUEST_LIVE_MAX >= 2 * IFAB_VAULT_RECORDS_MAX + IFAB_VAULT_STAGED_MAX, "a set holds what a vault can: in force, before, staged");
static void each_live(void *user, bool (*take)(void *take_user, struct ifab_view value), void *take_user)
{
    struct telling t = {take, take_user};
    ifab_vault_live(user, tell_value, &t);
}

void calls_secrets(struct node *node)
{
    struct calls *self = node->calls;
    if (self == NULL || self->guests == NULL || node->vault == NULL)
        return;
    (void)ifab_guests_set_live(self->guests, each_live, node->vault); /* where it fails nothing is sent: it says so */
}

static void take_line(void *user, struct ifab_view capability, uint32_t talent, unsigned level, struct ifab_view text)
{
    lines_put(&((struct calls *)user)->lines, wall_of(user), capability, talent, level, text);
}

size_t calls_lines(const struct node *node, struct ifab_view id, size_t most, struct ifab_buf *b)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const struct line *lines[LINES_MAX];
    size_t count = node->calls == NULL ? 0 : lines_of(&node->calls->lines, id, most, lines);
    for (size_t i = 0; i < count; i++) {
        const struct line *l = lines[i];
        const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), l->talent);
        ifab_buf_str(b, i > 0 ? ",{\"at\":\"" : "{\"at\":\"");
        ifab_buf_time(b, l->wall);
        ifab_buf_str(b, "\",\"capability\":");
        ifab_json_put_cstr(b, l->capability);
        ifab_buf_format(b, ",\"level\":\"%s\",\"talent\":", levels[l->level < 4 ? l->level : 3]);
        ifab_json_put_string(b, talent != NULL ? talent->name : IFAB_VIEW(""));
        ifab_buf_str(b, ",\"text\":");
        ifab_json_put_string(b, ifab_view_of((const uint8_t *)l->text, l->size));
        ifab_buf_char(b, '}');
    }
    return count;
}

struct ifab_guests *calls_guests(struct node *node, struct ifab_error *err)
{
    struct calls *self = calls_of(node);
    char cache[1200], port[160];
    const char *listeners[1] = {port};
    if (self == NULL || self->stopping) {
        ifab_fail(err, IFAB_AGAIN, self == NULL ? "out of memory" : "the daemon is ending");
        return NULL;
    }
    if (self->guests != NULL || self->refused) {
        if (self->guests == NULL)
            ifab_fail(err, IFAB_UNSUPPORTED, "%s", self->why);
        return self->guests;
    }
    snprintf(cache, sizeof cache, "%s/artifacts", node->config.data_dir);
    struct ifab_guest_options options = {.loop = &node->loop, .cache_path = cache, .user = self, .wall = wall_of, .line = take_line, .secret = secret_version, .ask = secret_ask, .lend = secret_lend,
                                         .listeners = listeners, .workers = (uint32_t)node->config.capability_workers};
    const char *colon = node->config.http_listen[0] != '\0' ? strrchr(node->config.http_listen, ':') : NULL;
    if (colon != NULL) {
        snprintf(port, sizeof port, "%.*s:%u", (int)(colon - node->config.http_listen), node->config.http_listen, node->http_port);
        options.listener_count = 1;
    }
    struct ifab_arena arena;
    struct ifab_guest_exception *exceptions = NULL;
    ifab_arena_init(&arena, 65536);
    ifab_status status = exceptions_of(node, &arena, &exceptions, err);
    options.exceptions = exceptions;
    options.exception_count = node->config.egress_allow_count;
    options.ca_file = node->config.egress_ca[0] != '\0' ? node->config.egress_ca : NULL;
    for (size_t i = 0; i < node->config.sandbox_wall_count; i++)
        options.walls |= ifab_guests_wall(node->config.sandbox_walls[i]);
    ifab_signer_derive(node->log_key, "artifact cache", options.mac_key32);
    if (status == IFAB_OK)
        status = ifab_guests_new(&options, &self->guests, err);
    ifab_arena_fini(&arena);
    ifab_wipe(options.mac_key32, sizeof options.mac_key32);
    if (status == IFAB_UNSUPPORTED || status == IFAB_INVALID) { /* it will not be otherwise before a restart */
        self->refused = true;
        snprintf(self->why, sizeof self->why, "%s", err->text);
    }
    if (status != IFAB_OK)
        self->guests = NULL;
    calls_secrets(node);
    self->registry_version = ifab_fabric_registry_version(node->fabric);
    self->access_version = ifab_fabric_access_version(node->fabric);
    return self->guests;
}

bool calls_sandbox(const struct node *node, struct ifab_guest_sandbox *ret)
{
    if (node->calls == NULL || node->calls->guests == NULL || node->calls->stopping)
        return false;
    ifab_guests_sandbox(node->calls->guests, ret);
    return true;
}

/* ---- from the intent to its outcome ---- */

static void call_free(struct call *c)
{
    *(c->prev != NULL ? &c->prev->next : &c->calls->first) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    ifab_arena_fini(&c->arena);
    ifab_free(c);
}

static void queue_outcome(struct node *node, struct call *c);

static void outcome_done(struct node *node, struct ticket *t)
{
    struct call *c = t->user;
    c->queued = false;
    if (t->reply.code == IFAB_CODE_STORE_UNAVAILABLE) /* it did happen: it is put in again when there is room */
        return;
    if (t->reply.code != IFAB_CODE_NONE)
        IFAB_LOG(IFAB_LOG_ERROR, "calls: the outcome of a call could not be entered", IFAB_F_TEXT("error", t->reply.refusal.message));
    t->request = c->request;
    c->request = NULL;
    reply_ticket(node, t);
    call_free(c);
}

static void queue_outcome(struct node *node, struct call *c)
{
    struct ticket *t = ticket_new(node, NULL); /* in nobody's turn: what has happened waits for no request */
    if (t == NULL)
        return; /* at the next turn */
    t->command = c->outcome;
    t->command.principal = &node->self;
    t->user = c;
    t->done = outcome_done;
    c->queued = true;
    ticket_queue(node, t);
}

/* Copies: what the answer shows goes when this returns. */
static void call_done(void *user, const struct ifab_guest_answer *answer)
{
    struct call *c = user;
    c->outcome.type = IFAB_COMMAND_OUTCOME;
    c->outcome.u.called.number = c->plan;
    c->outcome.u.called.intent = c->intent;
    c->outcome.u.called.end = answer->end;
    c->outcome.u.called.fuel = answer->fuel;
    c->outcome.u.called.took = answer->took;
    c->outcome.u.called.host_calls = answer->host_calls;
    c->outcome.u.called.has_cost = answer->has_cost;
    c->outcome.u.called.cost = answer->cost;
    if (ifab_arena_copy(&c->arena, answer->text, &c->outcome.u.called.text) != IFAB_OK)
        c->outcome.u.called.text = IFAB_VIEW("");
    if (ifab_arena_copy(&c->arena, answer->output, &c->outcome.u.called.output) != IFAB_OK) { /* it was done; what it said is lost */
        c->outcome.u.called.output = IFAB_VIEW("");
        c->outcome.u.called.text = IFAB_VIEW("out of memory for the result");
    }
    c->over = true;
    queue_outcome(c->calls->node, c);
}

/* end: one of those of which nothing ran. */
static void not_done(struct call *c, enum ifab_call_end end, const char *why)
{
    const struct ifab_guest_answer answer = {.end = end, .text = ifab_view_str(why)}; /* its code is the end's */
    call_done(c, &answer);
}

/* As it stands in the log: plan, manifest and module were looked at in the step that made the intent. */
static void run(struct node *node, struct call *c, const struct ifab_plan *plan)
{
    struct calls *self = c->calls;
    struct ifab_error err = {0};
    const struct ifab_allowed *allowed = NULL;
    struct ifab_refusal refusal;
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), plan->talent);
    const struct call_module *module = module_of(self, plan->manifest32);
    struct ifab_guests *guests = calls_guests(node, &err);
    const uint8_t *at = memchr(plan->capability.data, '@', plan->capability.size);
    char plan_id[42] = "plan-";
    size_t id = at == NULL ? 0 : (size_t)(at - plan->capability.data);
    if (at == NULL || talent == NULL || ifab_arena_copy(&c->arena, ifab_view_of(plan->capability.data, id), &c->capability) != IFAB_OK ||
        ifab_registry_find(ifab_fabric_registry(node->fabric), c->capability, ifab_view_of(at + 1, plan->capability.size - id - 1), wall_of(self), &allowed,
                           &refusal) != IFAB_CODE_NONE) {
        not_done(c, IFAB_CALL_GONE, "the capability is not there any more");
        return;
    }
    if (guests == NULL || module == NULL) {
        not_done(c, IFAB_CALL_NOT_DONE, guests == NULL ? err.text : "its module is not loaded any more; try again");
        return;
    }
    if (!ifab_fabric_may_call(node->fabric, plan->talent, allowed->manifest, wall_of(self))) {
        not_done(c, IFAB_CALL_GONE, "what it needs was revoked before it began"); /* in the batch of its intent */
        return;
    }
    ifab_uuid_format(plan->id16, plan_id + 5);
    struct ifab_view config;
    const char *missing;
    if (!calls_config(node, allowed->manifest, &c->arena, &config, &missing)) {
        not_done(c, IFAB_CALL_UNCONFIGURED, "capabilities.config lacks a value that its manifest asks for");
        return;
    }
    struct ifab_guest_call call = {.config = config, .task = plan->state == IFAB_PLAN_TRYING ? IFAB_GUEST_DRY_RUN : IFAB_GUEST_APPLY, .manifest = allowed->manifest,
                                   .operation = ifab_manifest_operation(allowed->manifest, plan->operation), .params = plan->params, .talent = talent->name,
                                   .talent_number = plan->talent, .plan_id = ifab_view_str(plan_id), .module = module->bytes};
    memcpy(call.trace16, plan->trace16, 16);
    ifab_status status = ifab_guest_begin(guests, &call, call_done, c);
    if (status != IFAB_OK)
        not_done(c, IFAB_CALL_NOT_DONE, status == IFAB_FULL ? "too many calls wait for a sandbox" : "the call could not be begun");
}

void calls_begin(struct node *node, const struct ticket *applied)
{
    struct calls *self = calls_of(node);
    struct request *r = applied->request;
    const struct ifab_plan *plan = ifab_plan_at(ifab_fabric_plans(node->fabric), applied->reply.plan);
    struct call *c = self == NULL || plan == NULL ? NULL : ifab_calloc(1, sizeof *c);
    if (c == NULL) { /* the intent stands, and dangles after a restart: nobody may be told that nothing was done */
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory; the intent is in the log and was not begun");
        return;
    }
    *c = (struct call){.calls = self, .request = r, .plan = applied->reply.plan, .intent = applied->reply.intent, .next = self->first};
    ifab_arena_init(&c->arena, 2 * IFAB_CALL_OUTPUT_MAX);
    if (ifab_arena_copy(&c->arena, applied->command.idempotency, &c->outcome.idempotency) == IFAB_OK) {
        memcpy(c->outcome.request16, applied->command.request16, sizeof c->outcome.request16);
        memcpy(c->outcome.body32, applied->command.body32, sizeof c->outcome.body32);
        c->outcome.u.called.caller = r->principal.uid;
    }
    if (self->first != NULL)
        self->first->prev = c;
    self->first = c;
    run(node, c, plan);
}

/* Also calls whose module is not kept any more: each brings its own manifest. */
static bool may_run(void *user, uint32_t talent, const struct ifab_manifest *manifest)
{
    const struct calls *self = user;
    return ifab_fabric_may_call(self->node->fabric, talent, manifest, wall_of(user));
}

static void review(struct calls *self)
{
    self->reviewed = wall_of(self);
    if (!self->stopping)
        ifab_guests_review(self->guests, may_run, self);
}

void calls_turn(struct node *node)
{
    struct calls *self = node->calls;
    for (struct call *c = self == NULL || node->closed_full ? NULL : self->first; c != NULL; c = c->next)
        if (c->over && !c->queued)
            queue_outcome(node, c);
    if (self != NULL && self->guests != NULL && wall_of(self) - self->reviewed >= IFAB_SECOND)
        review(self);
}

struct rechecking { /* a signature is verified once a manifest: many talents share one */
    const struct calls *calls;
    struct ifab_map manifests; /* digest -> it may be loaded */
};

/* Of any manifest, whether its module is still held or was pushed out of the memory since. */
static bool loadable(void *user, uint32_t talent, const uint8_t manifest32[32])
{
    struct rechecking *self = user;
    const struct ifab_registry *registry = ifab_fabric_registry(self->calls->node->fabric);
    const struct ifab_allowed *a = ifab_registry_allowed_next(registry, 0);
    struct ifab_refusal refusal;
    uint64_t good;
    (void)talent;
    if (ifab_map_get(&self->manifests, ifab_view_of(manifest32, 32), &good))
        return good != 0;
    while (a != NULL && memcmp(a->manifest->digest32, manifest32, 32) != 0)
        a = ifab_registry_allowed_next(registry, a->number);
    good = a != NULL && ifab_capability_load_check(registry, a->manifest, NULL, clock_now(&self->calls->node->clock, NULL).wall, &refusal) == IFAB_CODE_NONE;
    (void)ifab_map_put(&self->manifests, ifab_view_of(manifest32, 32), good); /* without memory it is asked again */
    return good != 0;
}

static bool still_there(void *user, uint32_t talent, const uint8_t manifest32[32])
{
    const struct calls *self = user;
    const struct ifab_talent *who = ifab_talents_at(ifab_fabric_talents(self->node->fabric), talent);
    (void)manifest32;
    return talent == 0 || (who != NULL && who->removed_at == IFAB_NEVER);
}

/* INV-07: what may not be loaded any more ends, and so does every call of a talent that has no grant for it, or for a scope of it, any more. */
void calls_changed(struct node *node)
{
    struct calls *self = node->calls;
    struct ifab_refusal refusal;
    if (self == NULL || self->guests == NULL || self->stopping)
        return;
    bool anew = self->registry_version != ifab_fabric_registry_version(node->fabric);
    if (self->registry_version != ifab_fabric_registry_version(node->fabric)) {
        self->registry_version = ifab_fabric_registry_version(node->fabric);
        for (size_t i = 0; i < MODULES_MAX; i++) {
            struct call_module *m = &self->modules.rows[i];
            bool good = m->bytes == NULL;
            const struct ifab_allowed *a = ifab_registry_allowed_next(ifab_fabric_registry(node->fabric), 0);
            for (; !good && a != NULL; a = ifab_registry_allowed_next(ifab_fabric_registry(node->fabric), a->number))
                good = memcmp(a->manifest->digest32, m->manifest32, 32) == 0 &&
                       ifab_capability_load_check(ifab_fabric_registry(node->fabric), a->manifest, &m->about, wall_of(self), &refusal) == IFAB_CODE_NONE;
            if (good)
                continue;
            ifab_guests_revoke(self->guests, m->manifest32);
            modules_drop(&self->modules, m);
        }
        struct rechecking all = {.calls = self};
        ifab_map_init(&all.manifests, self->registry_version);
        ifab_guests_recheck(self->guests, loadable, &all);
        ifab_map_fini(&all.manifests);
    }
    if (!anew && self->access_version == ifab_fabric_access_version(node->fabric))
        return;
    self->access_version = ifab_fabric_access_version(node->fabric);
    ifab_guests_recheck(self->guests, still_there, self);
    review(self);
}

/* ---- the end ---- */

bool calls_idle(const struct node *node) { return node->calls == NULL || node->calls->first == NULL; }

static void on_closed(void *user)
{
    struct calls *self = user;
    self->closed = true;
    self->guests = NULL;
}

void calls_stop(struct node *node)
{
    struct calls *self = node->calls;
    if (self == NULL || self->stopping)
        return;
    self->stopping = true;
    if (self->guests == NULL)
        self->closed = true;
    else
        ifab_guests_close(self->guests, on_closed, self);
}

bool calls_stopped(const struct node *node) { return node->calls == NULL || node->calls->closed; }

void calls_free(struct node *node)
{
    struct calls *self = node->calls;
    if (self == NULL)
        return;
    while (self->first != NULL) {
        request_free(self->first->request);
        call_free(self->first);
    }
    modules_free(&self->modules);
    lines_free(&self->lines);
    ifab_free(self);
    node->calls = NULL;
}
