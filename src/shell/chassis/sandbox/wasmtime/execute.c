/* Wasmtime without a compiler: the row of the execute program. */
#include "internal.h"

static ifab_status open_it(uint32_t slots, struct ifab_engine **ret, struct ifab_error *err)
{
    return ifab_wasmtime__open(&ifab_engine_wasmtime, NULL, slots, ret, err);
}

const struct ifab_engine_ops ifab_engine_wasmtime = {
    .abi = IFAB_ENGINE_ABI,
    .name = "wasmtime",
    .version = WASMTIME_VERSION,
    .caps = 0,
    .config = ifab_wasmtime__config,
    .open = open_it,
    .load = ifab_wasmtime__load,
    .warm = ifab_wasmtime__warm,
    .probe = ifab_wasmtime__probe,
    .call = ifab_wasmtime__call,
    .interrupt = ifab_wasmtime__interrupt,
    .close = ifab_wasmtime__close,
};
