/* if-sandbox-null: if-sandbox with the null engine, for tests. Never installed. */
#include "sandbox/worker.h"

int main(void)
{
    static const struct ifab_worker_program program = {IFAB_SANDBOX_EXECUTE, &ifab_engine_null, ifab_walls_raise};
    ifab_worker_main(&program);
}
