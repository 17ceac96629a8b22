/* if-sandbox: runs the calls of one capability for one talent, behind the walls. It cannot compile. */
#include "sandbox/worker.h"

int main(void)
{
    static const struct ifab_worker_program program = {IFAB_SANDBOX_EXECUTE, &ifab_engine_wasmtime, ifab_walls_raise};
    ifab_worker_main(&program);
}
