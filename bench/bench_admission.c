/*
 * Admission without sockets: bare verify, JSON check and canonical form, the step alone, all of it in memory on one thread; and the log's hashes.
 * Everything is CPU time of this thread, in chunks that take turns; the median chunk counts. Then durable admission on all cores: verifiers, the
 * step, the writer, until the receipt could leave. Usage: bench_admission EMPTY-DIRECTORY [chunks]. Prints "name value" lines, µs per message.
 */
#include "fabric.h"

#include <unistd.h>

enum { CHUNK = 500, CHUNKS_MOST = 64, WINDOW = 1024 };

struct message {
    struct ifab_buf bytes;
};
struct results {
    double bare[CHUNKS_MOST], memory[CHUNKS_MOST], step[CHUNKS_MOST], json[CHUNKS_MOST], hash[CHUNKS_MOST], sha[CHUNKS_MOST];
};

static void admit(const struct node *node, const struct message *m, struct ifab_arena *arena, struct ifab_admitted *ret)
{
    struct ifab_refusal refusal = {0};
    enum ifab_code code = ifab_admit_message(ifab_buf_as_view(&m->bytes), 0, node->keyring, node->tag_key16, clock_real(), arena, ret, &refusal);
    if (code != IFAB_CODE_NONE)
        fprintf(stderr, "bench: refused %d %s %s\n", (int)code, refusal.field, refusal.message);
    bench_must(code == IFAB_CODE_NONE, "a message was refused", NULL);
}

/* decide and apply, as the pipeline does it, without a commit. */
static void step(struct node *node, const struct ifab_admitted *a, struct ifab_arena *arena)
{
    struct ifab_command command = {.type = IFAB_COMMAND_MESSAGE, .principal = &node->self};
    struct ifab_now now = clock_now(&node->clock, NULL);
    command.u.message.envelope = &a->envelope;
    command.u.message.talent = a->talent;
    command.u.message.key_version = a->key_version;
    command.u.message.facts = &a->facts;
    mint(now, command.mint16);
    ifab_outcome_begin(&node->outcome, arena);
    bench_must(ifab_fabric_prepare(node->fabric) == IFAB_OK, "prepare", NULL);
    ifab_fabric_decide(node->fabric, &command, now, &node->outcome);
    bench_must(node->outcome.reply.is_decision && node->outcome.reply.decision == IFAB_DECISION_SHARE, "not shared", NULL);
    ifab_fabric_apply(node->fabric, &node->outcome);
}

static double in_memory(struct node *node, const struct message *messages)
{
    struct ifab_arena arena, out;
    struct ifab_admitted *a = ifab_malloc(sizeof *a);
    ifab_arena_init(&arena, 4 << 20);
    ifab_arena_init(&out, 64 << 20);
    bench_must(a != NULL, "memory", NULL);
    double from = bench_cpu();
    for (int i = 0; i < CHUNK; i++) {
        ifab_arena_reset(&arena);
        if (i % 64 == 0)
            ifab_arena_reset(&out); /* as a batch does */
        admit(node, &messages[i], &arena, a);
        step(node, a, &out);
    }
    double took = bench_cpu() - from;
    ifab_arena_fini(&arena);
    ifab_arena_fini(&out);
    ifab_free(a);
    return took;
}

/* Parts of the same work, over messages admitted before; entries of the steps are hashed as a verifier of the log would. */
static void parts(struct node *node, const struct message *messages, struct results *r, size_t c)
{
    static struct ifab_admitted *admitted;
    static uint8_t kept[CHUNK][4096];
    struct ifab_arena arena, out, json;
    struct ifab_view *entries;
    ifab_arena_init(&arena, 256 << 20);
    ifab_arena_init(&out, 64 << 20);
    ifab_arena_init(&json, 4 << 20);
    if (admitted == NULL)
        admitted = ifab_calloc(CHUNK, sizeof *admitted);
    entries = ifab_calloc(CHUNK, sizeof *entries);
    bench_must(admitted != NULL && entries != NULL, "memory", NULL);
    for (int i = 0; i < CHUNK; i++)
        admit(node, &messages[i], &arena, &admitted[i]);
    double from = bench_cpu();
    for (int i = 0; i < CHUNK; i++) {
        const struct ifab_envelope *e = &admitted[i].envelope;
        bench_must(ifab_ed25519_verify(e->pubkey32, e->signed_bytes, e->sig64), "verify", NULL);
    }
    r->bare[c] = bench_cpu() - from;
    from = bench_cpu();
    for (int i = 0; i < CHUNK; i++) {
        if (i % 64 == 0)
            ifab_arena_reset(&out); /* as a batch does */
        step(node, &admitted[i], &out);
        struct ifab_view entry = node->outcome.entries[0].bytes;
        bench_must(entry.size <= sizeof kept[i], "an entry too long", NULL);
        memcpy(kept[i], entry.data, entry.size);
        entries[i] = ifab_view_of(kept[i], entry.size);
    }
    r->step[c] = bench_cpu() - from;
    struct ifab_buf canonical = IFAB_BUF_INIT(65536);
    from = bench_cpu();
    for (int i = 0; i < CHUNK; i++) {
        const struct ifab_json *tree;
        ifab_arena_reset(&json);
        ifab_buf_clear(&canonical);
        bench_must(ifab_json_read(ifab_buf_as_view(&messages[i].bytes), NULL, &json, &tree, NULL) == IFAB_OK, "JSON", NULL);
        ifab_json_write(&canonical, tree);
    }
    r->json[c] = bench_cpu() - from;
    bench_must(ifab_buf_status(&canonical) == IFAB_OK, "JSON", NULL);
    struct ifab_tree tree = {0};
    uint8_t digest32[32];
    from = bench_cpu();
    for (int i = 0; i < CHUNK; i++) {
        ifab_leaf_hash(entries[i], digest32);
        ifab_tree_append(&tree, digest32);
    }
    ifab_tree_root(&tree, digest32);
    r->hash[c] = bench_cpu() - from;
    from = bench_cpu();
    for (int i = 0; i < CHUNK; i++)
        ifab_sha256(entries[i], digest32);
    r->sha[c] = bench_cpu() - from;
    ifab_buf_fini(&canonical);
    ifab_free(entries);
    ifab_arena_fini(&arena);
    ifab_arena_fini(&out);
    ifab_arena_fini(&json);
}

static size_t answered;
static void on_done(struct node *node, struct ticket *t)
{
    (void)node;
    bench_must(t->reply.is_decision && t->reply.decision == IFAB_DECISION_SHARE, t->reply.refusal.message, NULL);
    answered++;
}

/* Through the daemon's own pipeline: tickets, pool, batches, writer. At most WINDOW on their way. */
static void durable(struct node *node, const struct message *messages, size_t count, double *ret_wall, double *ret_cpu)
{
    struct ifab_error err = {0};
    size_t queued = 0, cores = uv_available_parallelism();
    bench_must(pool_start(&node->pool, cores > 1 ? cores - 1 : 1, &node->verified, &err) == IFAB_OK, "pool", &err);
    double wall = bench_wall(), cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    while (answered < count) {
        for (; queued < count && queued - answered < WINDOW; queued++) {
            struct ticket *t = ticket_new(node, NULL);
            bench_must(t != NULL, "memory", NULL);
            t->verify = VERIFY_MESSAGE;
            t->bytes = ifab_buf_as_view(&messages[queued].bytes);
            t->command.principal = &node->self;
            t->done = on_done;
            ticket_queue(node, t);
        }
        pipeline_run(node);
        uv_run(&node->loop, answered < count && !node->spinning ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        bench_must(node->fatal_status == IFAB_OK, "pipeline", &node->fatal);
    }
    *ret_wall = bench_wall() - wall;
    *ret_cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

int main(int argc, char **argv)
{
    static struct results r;
    size_t chunks = argc > 2 ? strtoul(argv[2], NULL, 10) : 16;
    char path[1000];
    bench_must(argc > 1 && chunks > 0 && chunks <= CHUNKS_MOST, "usage: bench_admission EMPTY-DIRECTORY [chunks]", NULL);
    (void)snprintf(path, sizeof path, "%s/memory", argv[1]);
    struct node *memory = bench_fabric(path);
    (void)snprintf(path, sizeof path, "%s/parts", argv[1]);
    struct node *other = bench_fabric(path);
    (void)snprintf(path, sizeof path, "%s/durable", argv[1]);
    struct node *disk = bench_fabric(path);
    struct message *messages = ifab_calloc(chunks * CHUNK, sizeof *messages);
    struct ifab_signer *signers[BENCH_KEYS];
    bench_must(messages != NULL, "memory", NULL);
    for (unsigned k = 0; k < BENCH_KEYS; k++)
        signers[k] = bench_signer(k);
    for (unsigned n = 0; n < chunks * CHUNK; n++) {
        ifab_buf_init(&messages[n].bytes, 65536);
        bench_message(&messages[n].bytes, signers[n % BENCH_KEYS], n % BENCH_KEYS, 0, n, n / BENCH_KEYS);
    }
    for (size_t c = 0; c < chunks; c++) {
        r.memory[c] = in_memory(memory, &messages[c * CHUNK]);
        parts(other, &messages[c * CHUNK], &r, c);
    }
    double us = 1e6 / CHUNK, wall, cpu;
    durable(disk, messages, chunks * CHUNK, &wall, &cpu);
    printf("message_bytes %zu\nbare_us %.3f\n", messages[0].bytes.size, bench_quantile(r.bare, chunks, .5) * us);
    printf("memory_us %.3f\n", bench_quantile(r.memory, chunks, .5) * us);
    printf("step_us %.3f\n", bench_quantile(r.step, chunks, .5) * us);
    printf("json_us %.3f\n", bench_quantile(r.json, chunks, .5) * us);
    printf("loghash_us %.3f\n", bench_quantile(r.hash, chunks, .5) * us);
    printf("sha_us %.3f\n", bench_quantile(r.sha, chunks, .5) * us);
    printf("durable_us %.3f\n", wall * 1e6 / (double)(chunks * CHUNK));
    printf("durable_cpu_us %.3f\n", cpu * 1e6 / (double)(chunks * CHUNK));
    printf("cores %u\n", uv_available_parallelism());
    fflush(stdout);
    _exit(0); /* the directories go with the run */
}
