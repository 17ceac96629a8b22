/* What a module may ask for and must offer: guest ABI 1. Judged on the module's own types, before anything is linked. */
#include "internal.h"

/* Types as strings: 'i' i32, 'I' i64; parameters, results. */
struct signature {
    const char *name, *params, *results;
};

static const struct signature imports[IFAB_IMPORT_COUNT] = {
    [IFAB_IMPORT_log] = {"log", "iii", ""},   /* level, text, length */
    [IFAB_IMPORT_http] = {"http", "ii", "I"}, /* request, length → packed response */
    [IFAB_IMPORT_secret_ref] = {"secret_ref", "ii", "I"},
    [IFAB_IMPORT_kv_get] = {"kv_get", "ii", "I"},
    [IFAB_IMPORT_kv_put] = {"kv_put", "iiii", "i"}, /* key, length, value, length */
    [IFAB_IMPORT_now] = {"now", "", "I"},
    [IFAB_IMPORT_random] = {"random", "ii", "i"}, /* where, length */
};
static const struct signature exports[] = {
    {"if_alloc", "i", "i"}, {"if_free", "ii", ""}, {"if_plan", "ii", "I"}, {"if_apply", "ii", "I"}, {"if_health", "ii", "I"},
};
#define EXPORT_COUNT (sizeof exports / sizeof exports[0])

static bool types_are(const wasm_valtype_vec_t *types, const char *expected)
{
    if (types->size != strlen(expected))
        return false;
    for (size_t i = 0; i < types->size; i++)
        if (wasm_valtype_kind(types->data[i]) != (expected[i] == 'i' ? WASM_I32 : WASM_I64))
            return false;
    return true;
}

static bool type_is(const wasm_externtype_t *type, const struct signature *expected)
{
    const wasm_functype_t *f = wasm_externtype_as_functype_const(type);
    return f != NULL && types_are(wasm_functype_params(f), expected->params) && types_are(wasm_functype_results(f), expected->results);
}

static bool name_is(const wasm_name_t *name, const char *expected) { return ifab_view_is(ifab_view_of(name->data, name->size), expected); }

ifab_status ifab_wasmtime__refuse(struct ifab_engine_failure *to, enum ifab_load_error error, wasmtime_error_t *cause)
{
    wasm_name_t text;
    wasmtime_error_message(cause, &text);
    wasmtime_error_delete(cause);
    ifab_status status = ifab_engine_fail(to, error, text.data, text.size);
    wasm_name_delete(&text);
    return status;
}

static ifab_status judge_import(const wasm_importtype_t *import, uint32_t granted, uint32_t *ret, struct ifab_engine_failure *ret_failure)
{
    const wasm_name_t *module = wasm_importtype_module(import), *name = wasm_importtype_name(import);
    for (unsigned i = 0; i < IFAB_IMPORT_COUNT; i++)
        if (name_is(module, "if") && name_is(name, imports[i].name) && (granted >> i & 1) != 0 &&
            type_is(wasm_importtype_type(import), &imports[i])) {
            *ret |= 1U << i;
            return IFAB_OK;
        }
    struct ifab_buf text = IFAB_BUF_INIT(2 * IFAB_FRAME_TEXT_MAX);
    ifab_buf_put(&text, module->data, module->size < IFAB_FRAME_TEXT_MAX ? module->size : IFAB_FRAME_TEXT_MAX);
    ifab_buf_char(&text, '.');
    ifab_buf_put(&text, name->data, name->size < IFAB_FRAME_TEXT_MAX - 1 ? name->size : IFAB_FRAME_TEXT_MAX - 1);
    ifab_status status = ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_IMPORT, (const char *)text.data, text.size);
    ifab_buf_fini(&text);
    return status;
}

static ifab_status judge_imports(const wasmtime_module_t *module, uint32_t granted, uint32_t *ret, struct ifab_engine_failure *ret_failure)
{
    wasm_importtype_vec_t all;
    ifab_status status = IFAB_OK;
    *ret = 0;
    wasmtime_module_imports(module, &all);
    for (size_t i = 0; i < all.size && status == IFAB_OK; i++)
        status = judge_import(all.data[i], granted, ret, ret_failure);
    wasm_importtype_vec_delete(&all);
    return status;
}

/* Memory and table: what the module declares for itself must fit what it was granted. */
static ifab_status judge_sizes(const wasm_externtype_t *type, const struct ifab_frame_load *limits, bool memory, struct ifab_frame_loaded *ret,
                               struct ifab_engine_failure *ret_failure)
{
    const wasm_memorytype_t *m = wasm_externtype_as_memorytype_const(type);
    const wasm_tabletype_t *t = wasm_externtype_as_tabletype_const(type);
    if (memory && (m == NULL || wasmtime_memorytype_is64(m) || wasmtime_memorytype_isshared(m)))
        return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_EXPORT, "memory", 6);
    if (memory && wasmtime_memorytype_minimum(m) > limits->memory_pages)
        return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_LIMIT, "memory", 6);
    if (memory)
        ret->memory_pages = (uint32_t)wasmtime_memorytype_minimum(m);
    if (t != NULL && wasm_tabletype_limits(t)->min > limits->table_elements)
        return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_LIMIT, "table", 5);
    return IFAB_OK;
}

static ifab_status judge_exports(const wasm_exporttype_vec_t *all, const struct ifab_frame_load *limits, struct ifab_frame_loaded *ret,
                                 struct ifab_engine_failure *ret_failure)
{
    bool memory = false, have[EXPORT_COUNT] = {false};
    for (size_t i = 0; i < all->size; i++) {
        const wasm_name_t *name = wasm_exporttype_name(all->data[i]);
        const wasm_externtype_t *type = wasm_exporttype_type(all->data[i]);
        bool is_memory = name_is(name, "memory");
        IFAB_TRY(judge_sizes(type, limits, is_memory, ret, ret_failure));
        memory = memory || is_memory;
        for (size_t k = 0; k < EXPORT_COUNT; k++)
            have[k] = have[k] || (name_is(name, exports[k].name) && type_is(type, &exports[k]));
    }
    if (!memory)
        return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_EXPORT, "memory", 6);
    for (size_t k = 0; k < EXPORT_COUNT; k++)
        if (!have[k])
            return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_EXPORT, exports[k].name, strlen(exports[k].name));
    return IFAB_OK;
}

ifab_status ifab_wasmtime__judge(const wasmtime_module_t *module, const struct ifab_frame_load *limits, struct ifab_frame_loaded *ret,
                                 struct ifab_engine_failure *ret_failure)
{
    wasm_exporttype_vec_t all;
    *ret = (struct ifab_frame_loaded){0, 0};
    IFAB_TRY(judge_imports(module, limits->imports, &ret->imports, ret_failure));
    wasmtime_module_exports(module, &all);
    ifab_status status = judge_exports(&all, limits, ret, ret_failure);
    wasm_exporttype_vec_delete(&all);
    return status;
}

static void fill(wasm_valtype_vec_t *to, const char *types)
{
    wasm_valtype_vec_new_uninitialized(to, strlen(types));
    for (size_t i = 0; i < to->size; i++)
        to->data[i] = wasm_valtype_new(types[i] == 'i' ? WASM_I32 : WASM_I64);
}

/* The linker knows what this module was granted and asks for, nothing else. */
static wasmtime_error_t *define(struct wasmtime_engine *self, uint32_t asked)
{
    for (unsigned i = 0; i < IFAB_IMPORT_COUNT; i++) {
        if ((asked >> i & 1) == 0)
            continue;
        wasm_valtype_vec_t params, results;
        fill(&params, imports[i].params);
        fill(&results, imports[i].results);
        wasm_functype_t *type = wasm_functype_new(&params, &results); /* takes both */
        self->hooks[i] = (struct import_hook){self, (enum ifab_import)i};
        wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(self->linker, "if", 2, imports[i].name, strlen(imports[i].name), type,
                                                                        ifab_wasmtime__import, &self->hooks[i], NULL);
        wasm_functype_delete(type);
        if (error != NULL)
            return error;
    }
    return NULL;
}

ifab_status ifab_wasmtime__load(struct ifab_engine *base, const struct ifab_frame_load *load, struct ifab_frame_loaded *ret,
                                struct ifab_engine_failure *ret_failure)
{
    struct wasmtime_engine *self = (struct wasmtime_engine *)base;
    if (load->kind != IFAB_MODULE_ARTIFACT)
        return ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_ENGINE, "this program compiles nothing", 29);
    wasmtime_error_t *error = wasmtime_module_deserialize(self->engine, load->bytes.data, load->bytes.size, &self->module);
    if (error != NULL)
        return ifab_wasmtime__refuse(ret_failure, IFAB_LOAD_ERROR_ENGINE, error);
    IFAB_TRY(ifab_wasmtime__judge(self->module, load, ret, ret_failure));
    self->memory_pages = load->memory_pages;
    self->table_elements = load->table_elements;
    error = define(self, ret->imports);
    if (error == NULL)
        error = wasmtime_linker_instantiate_pre(self->linker, self->module, &self->pre);
    return error == NULL ? IFAB_OK : ifab_wasmtime__refuse(ret_failure, IFAB_LOAD_ERROR_IMPORT, error);
}
