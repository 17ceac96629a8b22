/*
 * The null engine: what a call's input says is done, without a guest. It stands in for a real engine in the tests of worker and pool, and is the
 * readable reference of the conformance suite. A module is text: "null 1\n", then lines "import MODULE.NAME" and "pages N". Commands:
 *
 *   echo TEXT · unreachable · oob · stack · memory · loop (burns fuel) · log TEXT · http REQUEST · secret NAME · get KEY · put KEY VALUE ·
 *   now · random N · flood (log without end)      output: the bytes, or "-N" by status; anything else: "?"
 *   and what no guest could do: spin (burns no fuel) · hang (deaf to interrupts) · exit · crash · garbage (bytes that are no frame)
 */
#include "sandbox/engine.h"

#include "base/mem.h"

#include <stdlib.h>
#include <unistd.h>

struct null_engine {
    struct ifab_engine base;
    uint32_t imports;
    bool loaded;
};

struct run {
    struct null_engine *engine;
    const struct ifab_engine_call *call;
    uint64_t fuel;
    uint8_t *output;
    struct ifab_frame_result *ret;
};

static void config(struct ifab_buf *to) { ifab_buf_str(to, "engine null\nversion 1\n"); }

static ifab_status null_open(uint32_t slots, struct ifab_engine **ret, struct ifab_error *err)
{
    (void)slots;
    struct null_engine *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "null engine");
    self->base.ops = &ifab_engine_null;
    *ret = &self->base;
    return IFAB_OK;
}

/* The next line, without its end; false when there is none. */
static bool take_line(struct ifab_view *text, struct ifab_view *ret)
{
    if (text->size == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);
    *ret = (struct ifab_view){text->data, size};
    *text = (struct ifab_view){text->data + size + (end != NULL), text->size - size - (end != NULL)};
    return true;
}

static struct ifab_view after(struct ifab_view line, struct ifab_view prefix)
{
    return (struct ifab_view){line.data + prefix.size, line.size - prefix.size};
}

static uint32_t number_of(struct ifab_view text)
{
    uint32_t value = 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9' && value < 100000000; i++)
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    return value;
}

static ifab_status take_import(struct ifab_view name, uint32_t granted, uint32_t *imports, struct ifab_engine_failure *ret)
{
    for (unsigned i = 0; i < IFAB_IMPORT_COUNT; i++)
        if (ifab_view_starts(name, IFAB_VIEW("if.")) && ifab_view_is(after(name, IFAB_VIEW("if.")), ifab_import_name((enum ifab_import)i)) &&
            (granted >> i & 1) != 0) {
            *imports |= 1U << i;
            return IFAB_OK;
        }
    return ifab_engine_fail(ret, IFAB_LOAD_ERROR_IMPORT, (const char *)name.data, name.size);
}

static ifab_status read_module(struct ifab_view text, uint32_t granted, uint32_t pages_max, struct ifab_frame_loaded *ret,
                               struct ifab_engine_failure *ret_failure)
{
    struct ifab_view line;
    *ret = (struct ifab_frame_loaded){1, 0};
    if (!take_line(&text, &line) || !ifab_view_is(line, "null 1"))
        return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_MALFORMED, "no null module", 14);
    while (take_line(&text, &line)) {
        if (ifab_view_starts(line, IFAB_VIEW("import ")))
            IFAB_TRY(take_import(after(line, IFAB_VIEW("import ")), granted, &ret->imports, ret_failure));
        else if (ifab_view_starts(line, IFAB_VIEW("pages ")))
            ret->memory_pages = number_of(after(line, IFAB_VIEW("pages ")));
        else
            return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_MALFORMED, "unknown line", 12);
    }
    return ret->memory_pages <= pages_max ? IFAB_OK : ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_LIMIT, "memory", 6);
}

static ifab_status null_compile(struct ifab_engine *base, struct ifab_view wasm, struct ifab_buf *ret_artifact,
                                struct ifab_engine_failure *ret_failure)
{
    struct ifab_frame_loaded loaded;
    (void)base;
    IFAB_TRY(read_module(wasm, IFAB_IMPORT_ALL, IFAB_FRAME_PAGES_MAX, &loaded, ret_failure));
    ifab_buf_view(ret_artifact, wasm);
    return ifab_buf_status(ret_artifact) == IFAB_OK ? IFAB_OK : ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_INTERNAL, "no memory", 9);
}

static ifab_status null_load(struct ifab_engine *base, const struct ifab_frame_load *load, struct ifab_frame_loaded *ret,
                             struct ifab_engine_failure *ret_failure)
{
    struct null_engine *self = (struct null_engine *)base;
    IFAB_TRY(read_module(load->bytes, load->imports, load->memory_pages, ret, ret_failure));
    self->imports = ret->imports;
    self->loaded = true;
    return IFAB_OK;
}

static ifab_status null_warm(struct ifab_engine *base, struct ifab_error *err)
{
    (void)base;
    (void)err;
    return IFAB_OK;
}

static ifab_status null_probe(struct ifab_engine *base, struct ifab_engine_failure *ret_failure)
{
    (void)base;
    (void)ret_failure;
    return IFAB_OK;
}

static void interrupt(struct ifab_engine *base) { (void)base; } /* it asks ifab_engine_due() at every turn */

static void trap(struct run *run, enum ifab_trap kind) { ifab_engine_trap(run->ret, kind, run->output, ifab_trap_name(kind)); }

static void answer(struct run *run, struct ifab_view bytes)
{
    if (bytes.size > run->call->frame.output_max) {
        trap(run, IFAB_TRAP_OOB);
        return;
    }
    if (bytes.size > 0)
        memmove(run->output, bytes.data, bytes.size);
    run->ret->output = ifab_view_of(run->output, bytes.size);
}

static bool burn(struct run *run, uint64_t fuel)
{
    run->ret->fuel_used = fuel > run->fuel - run->ret->fuel_used ? run->fuel : run->ret->fuel_used + fuel;
    if (run->ret->fuel_used < run->fuel)
        return true;
    trap(run, IFAB_TRAP_FUEL);
    return false;
}

/* Goes round until fuel, deadline or, deaf, for ever. */
static void go_round(struct run *run, uint64_t fuel, bool deaf)
{
    while (burn(run, fuel))
        if (!deaf && ifab_engine_due(&run->engine->base)) {
            trap(run, IFAB_TRAP_DEADLINE);
            return;
        }
}

static enum ifab_trap ask(struct run *run, const struct ifab_frame_host_call *what, struct ifab_frame_host_result *ret)
{
    return (run->engine->imports >> what->import & 1) == 0 ? IFAB_TRAP_HOST_DENIED
                                                           : ifab_engine_ask(&run->engine->base, run->call, what, &run->ret->host_calls, ret);
}

static void ask_once(struct run *run, const struct ifab_frame_host_call *what)
{
    struct ifab_frame_host_result result = {.status = IFAB_HOST_REFUSED};
    enum ifab_trap kind = ask(run, what, &result);
    const char number[2] = {'-', (char)('0' + result.status)};
    if (kind != IFAB_TRAP_NONE)
        trap(run, kind);
    else if (result.status != IFAB_HOST_OK)
        answer(run, ifab_view_of(number, sizeof number));
    else
        answer(run, result.bytes);
}

static void flood(struct run *run)
{
    const struct ifab_frame_host_call what = {IFAB_IMPORT_log, 0, IFAB_VIEW("flood"), {NULL, 0}};
    struct ifab_frame_host_result result;
    enum ifab_trap kind = IFAB_TRAP_NONE;
    while (kind == IFAB_TRAP_NONE && burn(run, 10))
        kind = ask(run, &what, &result);
    if (kind != IFAB_TRAP_NONE)
        trap(run, kind);
}

static void put(struct run *run, struct ifab_view text)
{
    const uint8_t *space = text.size > 0 ? memchr(text.data, ' ', text.size) : NULL;
    size_t key = space == NULL ? text.size : (size_t)(space - text.data);
    struct ifab_view value = space == NULL ? (struct ifab_view){NULL, 0} : (struct ifab_view){space + 1, text.size - key - 1};
    ask_once(run, &(struct ifab_frame_host_call){IFAB_IMPORT_kv_put, 0, {text.data, key}, value});
}

static void misbehave(struct ifab_view what)
{
    static const uint8_t garbage[] = "no frame at all, and long enough to be read as a head";
    if (ifab_view_is(what, "exit"))
        _exit(0);
    if (ifab_view_is(what, "crash"))
        abort();
    if (ifab_view_is(what, "garbage") && write(1, garbage, sizeof garbage) < 0)
        _exit(1);
}

/* Commands that ask the daemon: word, import. */
static bool ask_by_word(struct run *run, struct ifab_view word, struct ifab_view text)
{
    static const struct {
        const char *word;
        enum ifab_import import;
    } rows[] = {{"log", IFAB_IMPORT_log},    {"http", IFAB_IMPORT_http}, {"secret", IFAB_IMPORT_secret_ref},
                {"get", IFAB_IMPORT_kv_get}, {"now", IFAB_IMPORT_now},   {"random", IFAB_IMPORT_random}};
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (ifab_view_is(word, rows[i].word)) {
            bool counted = rows[i].import == IFAB_IMPORT_random;
            ask_once(run, &(struct ifab_frame_host_call){
                              rows[i].import, counted ? number_of(text) : 0, counted ? (struct ifab_view){NULL, 0} : text, {NULL, 0}});
            return true;
        }
    return false;
}

static void command(struct run *run, struct ifab_view word, struct ifab_view text)
{
    static const enum ifab_trap by_name[] = {IFAB_TRAP_UNREACHABLE, IFAB_TRAP_OOB, IFAB_TRAP_STACK, IFAB_TRAP_MEMORY};
    for (size_t i = 0; i < IFAB_COUNT(by_name); i++)
        if (ifab_view_is(word, ifab_trap_name(by_name[i]))) {
            trap(run, by_name[i]);
            return;
        }
    if (ifab_view_is(word, "echo"))
        answer(run, text);
    else if (ifab_view_is(word, "loop"))
        go_round(run, 1, false);
    else if (ifab_view_is(word, "spin") || ifab_view_is(word, "hang"))
        go_round(run, 0, ifab_view_is(word, "hang"));
    else if (ifab_view_is(word, "flood"))
        flood(run);
    else if (ifab_view_is(word, "put"))
        put(run, text);
    else if (!ask_by_word(run, word, text)) {
        misbehave(word);
        answer(run, IFAB_VIEW("?"));
    }
}

static void null_call(struct ifab_engine *base, const struct ifab_engine_call *call, uint8_t *output, struct ifab_frame_result *ret)
{
    struct run run = {(struct null_engine *)base, call, call->frame.fuel, output, ret};
    struct ifab_view input = call->frame.input;
    const uint8_t *space = input.size > 0 ? memchr(input.data, ' ', input.size) : NULL;
    size_t word = space == NULL ? input.size : (size_t)(space - input.data);
    struct ifab_view text = space == NULL ? (struct ifab_view){NULL, 0} : (struct ifab_view){space + 1, input.size - word - 1};
    if (!run.engine->loaded)
        trap(&run, IFAB_TRAP_HOST_DENIED);
    else if (burn(&run, 10 + input.size))
        command(&run, (struct ifab_view){input.data, word}, text);
}

static void null_close(struct ifab_engine *base) { ifab_free(base); }

const struct ifab_engine_ops ifab_engine_null = {
    .abi = IFAB_ENGINE_ABI,
    .name = "null",
    .version = "1",
    .caps = IFAB_ENGINE_COMPILES | IFAB_ENGINE_TAKES_WASM,
    .config = config,
    .open = null_open,
    .compile = null_compile,
    .load = null_load,
    .warm = null_warm,
    .probe = null_probe,
    .call = null_call,
    .interrupt = interrupt,
    .close = null_close,
};
