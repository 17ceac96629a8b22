/* Wasmtime with Cranelift: the row of the prepare program, and of the conformance suite. */
#include "internal.h"

static void compiler(wasm_config_t *config)
{
#define SET(name, value) wasmtime_config_##name##_set(config, value);
    IFAB_WASMTIME_COMPILER_MAP(SET)
#undef SET
}

static ifab_status open_it(uint32_t slots, struct ifab_engine **ret, struct ifab_error *err)
{
    return ifab_wasmtime__open(&ifab_engine_wasmtime_full, compiler, slots, ret, err);
}

/* Only what could be loaded under the widest grant becomes an artifact: its imports, exports and limits are judged here already. */
static ifab_status compile(struct ifab_engine *base, struct ifab_view wasm, struct ifab_buf *ret_artifact, struct ifab_engine_failure *ret_failure)
{
    static const struct ifab_frame_load widest = {
        .kind = IFAB_MODULE_WASM, .memory_pages = IFAB_FRAME_PAGES_MAX, .table_elements = IFAB_FRAME_TABLE_MAX, .imports = IFAB_IMPORT_ALL};
    struct wasmtime_engine *self = (struct wasmtime_engine *)base;
    struct ifab_frame_loaded loaded;
    wasmtime_module_t *module = NULL;
    wasm_byte_vec_t bytes;
    IFAB_TRY(ifab_engine_scan(wasm, ret_failure));
    wasmtime_error_t *error = wasmtime_module_new(self->engine, wasm.data, wasm.size, &module);
    if (error != NULL)
        return ifab_wasmtime__refuse(ret_failure, IFAB_LOAD_ERROR_MALFORMED, error);
    ifab_status status = ifab_wasmtime__judge(module, &widest, &loaded, ret_failure);
    if (status == IFAB_OK && (error = wasmtime_module_serialize(module, &bytes)) != NULL)
        status = ifab_wasmtime__refuse(ret_failure, IFAB_LOAD_ERROR_INTERNAL, error);
    if (status == IFAB_OK) {
        ifab_buf_put(ret_artifact, bytes.data, bytes.size);
        wasm_byte_vec_delete(&bytes);
        if (ifab_buf_status(ret_artifact) != IFAB_OK)
            status = ifab_engine_fail(ret_failure, IFAB_LOAD_ERROR_LIMIT, "the artifact is too large", 25);
    }
    wasmtime_module_delete(module);
    return status;
}

const struct ifab_engine_ops ifab_engine_wasmtime_full = {
    .abi = IFAB_ENGINE_ABI,
    .name = "wasmtime",
    .version = WASMTIME_VERSION,
    .caps = IFAB_ENGINE_COMPILES,
    .config = ifab_wasmtime__config,
    .open = open_it,
    .compile = compile,
    .load = ifab_wasmtime__load,
    .warm = ifab_wasmtime__warm,
    .probe = ifab_wasmtime__probe,
    .call = ifab_wasmtime__call,
    .interrupt = ifab_wasmtime__interrupt,
    .close = ifab_wasmtime__close,
};
