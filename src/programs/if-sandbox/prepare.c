/* if-sandbox-prepare: compiles one module behind the walls, then ends. */
#include "sandbox/worker.h"

int main(void)
{
    static const struct ifab_worker_program program = {IFAB_SANDBOX_PREPARE, &ifab_engine_wasmtime_full, ifab_walls_raise};
    ifab_worker_main(&program);
}
