/* POST /v1/guard/explain: how this message would be decided now. Nothing is recorded, nothing used up; the signature is not looked at. */
#include "node.h"

static void step_explain(struct node *node, struct ticket *t)
{
    struct ifab_envelope *envelope = ifab_arena_calloc(&t->arena, 1, sizeof *envelope);
    struct ifab_guard_facts *facts = ifab_arena_calloc(&t->arena, 1, sizeof *facts);
    struct ifab_buf b = IFAB_BUF_INIT((size_t)1 << 20);
    enum ifab_code code = IFAB_CODE_SYSTEM_ERROR;
    if (envelope != NULL && facts != NULL) {
        code = ifab_envelope_read(ifab_buf_as_view(&t->request->body), ticket_message_max, &t->arena, envelope, &t->reply.refusal);
        if (code == IFAB_CODE_NONE && !ifab_admit_facts(envelope, node->tag_key16, &t->arena, facts))
            code = IFAB_CODE_SYSTEM_ERROR;
        if (code == IFAB_CODE_NONE)
            code = ifab_fabric_explain(node->fabric, envelope, facts, clock_now(&node->clock, NULL).wall, &b, &t->reply.refusal);
    }
    if (code == IFAB_CODE_NONE && (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK))
        code = IFAB_CODE_SYSTEM_ERROR;
    if (code == IFAB_CODE_SYSTEM_ERROR)
        ifab_refuse(&t->reply.refusal, code, NULL, "out of memory");
    t->reply.code = code;
    ifab_buf_fini(&b);
}

void handle_guard_explain(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    t->step = step_explain;
    ticket_queue(node, t);
}
