#ifndef BENCH_FABRIC_H
#define BENCH_FABRIC_H
/* A fabric in this process, made of the daemon's own rooms without its sockets: directory, store, state machine, pipeline; eight agents. */
#include <string.h>

#include "messages.h"
#include "node.h"

/* Runs what is queued until it is durable. */
static inline void bench_settle(struct node *node)
{
    while (!pipeline_idle(node)) {
        pipeline_run(node);
        uv_run(&node->loop, UV_RUN_NOWAIT);
        bench_must(node->fatal_status == IFAB_OK, "pipeline", &node->fatal);
    }
}

static inline void bench_enrol(struct node *node)
{
    static const char *const names[BENCH_KEYS] = {"Bench.0", "Bench.1", "Bench.2", "Bench.3", "Bench.4", "Bench.5", "Bench.6", "Bench.7"};
    for (unsigned k = 0; k < BENCH_KEYS; k++) {
        struct ticket *t = ticket_new(node, NULL);
        struct ifab_signer *signer = bench_signer(k);
        bench_must(t != NULL, "out of memory", NULL);
        uint8_t *pubkey32 = ifab_arena_alloc(&t->arena, 32);
        ifab_signer_public(signer, pubkey32);
        ifab_signer_free(signer);
        t->command.type = IFAB_COMMAND_TALENT;
        t->command.principal = &node->self;
        t->command.why = IFAB_VIEW("bench");
        t->command.u.talent.act = IFAB_ACT_ADD;
        t->command.u.talent.request = (struct ifab_talent_request){.name = ifab_view_str(names[k]),
                                                                   .owner = ifab_view_str(names[k]),
                                                                   .role_name = IFAB_VIEW("agent"),
                                                                   .role = IFAB_ROLE_AGENT,
                                                                   .pubkey32 = pubkey32,
                                                                   .expires_at = IFAB_NEVER};
        ticket_queue(node, t);
        bench_settle(node);
    }
    bench_must(ifab_talents_count(ifab_fabric_talents(node->fabric)) == BENCH_KEYS + 1, "agents", NULL);
}

static inline void bench_on_written(uv_async_t *handle) { pipeline_written(handle->data); }
static inline void bench_on_verified(uv_async_t *handle) { (void)handle; }

/* A new fabric in directory, which must not exist; ready for tickets, no thread but the writer and the checkpointer. */
static inline struct node *bench_fabric(const char *directory)
{
    struct ifab_error err = {0};
    struct ifab_init_options init = {.directory = directory, .http = "", .version = "bench", .why = IFAB_VIEW("bench")};
    struct node *node = ifab_calloc(1, sizeof *node);
    char path[1200];
    bench_must(node != NULL && ifab_node_init(&init, &err) == IFAB_OK, "init", &err);
    (void)snprintf(path, sizeof path, "%s/ifd.yaml", directory);
    bench_must(ifab_config_load(path, &node->config, &err) == IFAB_OK && ifab_admit_init(&err) == IFAB_OK, "configuration", &err);
    bench_must(node_keys(node, node->config.keys_dir, &err) == IFAB_OK && node_settings(node, &err) == IFAB_OK, "keys", &err);
    struct ifab_store_options store = {.directory = node->config.data_dir};
    bench_must(ifab_store_sqlite_open(&store, &node->store, &err) == IFAB_OK && node_load(node, &err) == IFAB_OK, "store", &err);
    ticket_message_max = (size_t)node->config.message_max;
    ticket_tag_key16 = node->tag_key16;
    ticket_origin = node->origin;
    node->self = (struct ifab_principal){.kind = IFAB_PRINCIPAL_UID, .role = IFAB_ROLE_OPERATOR, .actor = "if://fabric/bench"};
    ifab_metrics_init(&node->metrics, "bench");
    node->current = batch_new();
    bench_must(node->current != NULL && uv_loop_init(&node->loop) == 0, "loop", NULL);
    ifab_outcome_init(&node->outcome, &node->current->arena);
    uv_async_init(&node->loop, &node->written, bench_on_written);
    uv_async_init(&node->loop, &node->verified, bench_on_verified);
    uv_idle_init(&node->loop, &node->spin);
    node->written.data = node->spin.data = node;
    node_refresh_keyring(node);
    uv_mutex_init(&node->pool.lock); /* no worker yet */
    bench_must(writer_start(node, &err) == IFAB_OK, "writer", &err);
    node->serving = true;
    if (ifab_fabric_rules_stale(node->fabric))
        bench_must(node_enter_rules(node, &err) == IFAB_OK, "rules", &err);
    bench_enrol(node);
    return node;
}
#endif
