/* if-sandbox-null-prepare: if-sandbox-prepare with the null engine, for tests. Never installed. */
#include "sandbox/worker.h"

int main(void)
{
    static const struct ifab_worker_program program = {IFAB_SANDBOX_PREPARE, &ifab_engine_null, ifab_walls_raise};
    ifab_worker_main(&program);
}
