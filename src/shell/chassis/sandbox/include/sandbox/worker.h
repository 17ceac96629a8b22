#ifndef SANDBOX_WORKER_H
#define SANDBOX_WORKER_H
/* The life of a sandbox process: load, warm, walls, READY, then calls until BYE (execute), or READY, one module, end (prepare). */
#include "sandbox/engine.h"
#include "sandbox/walls.h"

typedef ifab_status ifab_walls_fn(const struct ifab_walls *self, uint32_t *ret_walls, struct ifab_error *err);

struct ifab_worker_program {
    enum ifab_sandbox_role role;
    const struct ifab_engine_ops *engine;
    ifab_walls_fn *walls; /* ifab_walls_raise; the control run of the escape suite has none */
};

enum ifab_worker_exit {
    IFAB_WORKER_BYE = 0,
    IFAB_WORKER_REFUSED = 1,  /* after LOAD_FAILED */
    IFAB_WORKER_PROTOCOL = 2, /* frames out of turn, malformed, or the other side gone in the middle of one */
    IFAB_WORKER_BROKEN = 3    /* a mandatory wall did not stand, no memory, an engine that does not open */
};

/* Serves fd 0 and fd 1 and ends the process; `main` is this call. */
_Noreturn void ifab_worker_main(const struct ifab_worker_program *program);
#endif
