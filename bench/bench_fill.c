/*
 * Makes a fabric whose log is long and whose messages are all live, as fast as the disk takes them: one signed message per sender is read, then
 * stepped again and again under other ids, nonces and sequence numbers, signatures left out; and open tasks. For the time of a start. Usage:
 * bench_fill NEW-DIRECTORY MESSAGES TASKS. Ends without closing anything, as kill -9 would.
 */
#include "tasks.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    bench_must(argc == 4, "usage: bench_fill NEW-DIRECTORY MESSAGES TASKS", NULL);
    struct node *node = bench_fabric(argv[1]);
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    struct ifab_admitted *a[BENCH_KEYS];
    struct ifab_buf bytes[BENCH_KEYS];
    struct ifab_arena arena;
    struct ifab_refusal refusal = {0};
    ifab_arena_init(&arena, 64 << 20);
    for (unsigned k = 0; k < BENCH_KEYS; k++) {
        struct ifab_signer *signer = bench_signer(k);
        a[k] = ifab_malloc(sizeof *a[k]);
        ifab_buf_init(&bytes[k], 65536);
        bench_message(&bytes[k], signer, k, 0, 1000000000 + k, 0);
        bench_must(a[k] != NULL && ifab_admit_message(ifab_buf_as_view(&bytes[k]), 0, node->keyring, node->tag_key16, clock_real(), &arena, a[k],
                                                      &refusal) == IFAB_CODE_NONE,
                   refusal.message, NULL);
    }
    bench_swarm(node);
    bench_tasks(node, strtoul(argv[3], NULL, 10));
    struct ifab_now now = clock_now(&node->clock, NULL);
    for (unsigned n = 0; n < count; n++) {
        struct batch *batch = node->current;
        struct ifab_admitted *m = a[n % BENCH_KEYS];
        struct ifab_command command = {.type = IFAB_COMMAND_MESSAGE, .principal = &node->self};
        char *id = ifab_arena_alloc(&batch->arena, 48);
        bench_must(id != NULL, "memory", NULL);
        (void)snprintf(id, 48, "msg-01930000-0000-7000-8000-%012x", n);
        m->envelope.id = ifab_view_str(id);
        bench_must(ifab_id_parse(m->envelope.id, "msg-", m->envelope.id16) == IFAB_OK, "id", NULL);
        memcpy(m->envelope.nonce, &n, sizeof n);
        m->envelope.seq = n / BENCH_KEYS + 1;
        m->envelope.conversation16[15] = (uint8_t)(n / 4096);
        command.u.message.envelope = &m->envelope;
        command.u.message.talent = m->talent;
        command.u.message.key_version = m->key_version;
        command.u.message.facts = &m->facts;
        now.run += 30; /* within every talent's rate */
        mint(now, command.mint16);
        ifab_outcome_begin(&node->outcome, &batch->arena);
        bench_must(ifab_fabric_prepare(node->fabric) == IFAB_OK, "prepare", NULL);
        ifab_fabric_decide(node->fabric, &command, now, &node->outcome);
        bench_must(node->outcome.reply.is_decision, node->outcome.reply.refusal.message, NULL);
        bench_must(batch_add(batch, &node->outcome), "memory", NULL);
        ifab_fabric_apply(node->fabric, &node->outcome);
        if (n % 512 == 511 || n + 1 == count) {
            batch_seal(node, batch, now);
            batch_commit(node, batch);
            bench_must(batch->status == IFAB_OK, "commit", &batch->err);
            writer_wrote(node);
            batch_clear(batch);
            while (writer_must_wait(node)) /* the checkpointer's turn, as in the daemon */
                (void)usleep(1000);
        }
    }
    printf("entries %llu\n", (unsigned long long)ifab_fabric_size(node->fabric));
    fflush(stdout);
    _exit(0);
}
