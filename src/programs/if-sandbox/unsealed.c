/*
 * The control run of the escape suite: if-sandbox without its walls, so that the suite sees its attacks succeed where nothing stops them. Built with
 * the tests, never installed; READY says that no wall stands, which no policy accepts.
 */
#include "sandbox/worker.h"

static ifab_status no_walls(const struct ifab_walls *self, uint32_t *ret_walls, struct ifab_error *err)
{
    (void)self;
    (void)err;
    *ret_walls = 0;
    return IFAB_OK;
}

int main(void)
{
    static const struct ifab_worker_program program = {IFAB_SANDBOX_EXECUTE, &ifab_engine_wasmtime, no_walls};
    ifab_worker_main(&program);
}
