/*
 * Sequences and conversations as a program in bytes, eight an operation; and every input as a packed record: what unpacks packs back to
 * the same bytes.
 */
#include "connect/order.h"

#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int right)
{
    if (!right)
        abort();
}

static void unpack(struct ifab_view input)
{
    struct ifab_sequence sequence;
    struct ifab_conversation conversation;
    uint8_t a[IFAB_SEQUENCE_PACKED_MAX], b[IFAB_CONVERSATION_PACKED_MAX];
    if (ifab_sequence_unpack(input, 1, &sequence))
        require(ifab_view_equal(input, ifab_view_of(a, ifab_sequence_pack(&sequence, a))));
    if (ifab_conversation_unpack(input, 1, &conversation))
        require(ifab_view_equal(input, ifab_view_of(b, ifab_conversation_pack(&conversation, b))));
}

static uint64_t numbers;

static void step_sequence(struct ifab_sequences *s, const uint8_t *op, ifab_usec wall)
{
    struct ifab_sequence next;
    struct ifab_view instance = ifab_view_of("abcdefgh", op[2] % 9);
    uint32_t talent = op[1] % 3, epoch = op[3] % 2;
    uint64_t seq = (uint64_t)op[4] * 16 + op[5] + 1;
    const struct ifab_sequence *now = ifab_sequences_find(s, talent, epoch, instance);
    uint64_t last = now != NULL && now->live_until >= wall ? now->last_seq : 0;
    enum ifab_order_mode mode = op[6] % 2 == 0 ? IFAB_ORDER_STRICT : IFAB_ORDER_WINDOW;
    enum ifab_code code = ifab_sequences_check(s, talent, epoch, instance, mode, seq, wall + op[7], wall, ++numbers, &next, NULL);
    require(code == IFAB_CODE_NONE || code == IFAB_CODE_OUT_OF_ORDER || code == IFAB_CODE_QUOTA_EXCEEDED);
    if (code != IFAB_CODE_NONE) {
        require(seq <= last);
        return;
    }
    require(seq > last || (mode == IFAB_ORDER_WINDOW && last - seq < IFAB_ORDER_WINDOW_SIZE));
    require(ifab_sequences_reserve(s, 1) == IFAB_OK);
    ifab_sequences_put(s, &next);
    require(ifab_sequences_check(s, talent, epoch, instance, mode, seq, wall, wall, ++numbers, &next, NULL) == IFAB_CODE_OUT_OF_ORDER);
}

static void step_conversation(struct ifab_conversations *c, const uint8_t *op, ifab_usec wall)
{
    static struct ifab_envelope e;
    struct ifab_conversation next;
    uint32_t receivers[4] = {op[4] % 5U, op[5] % 5U, op[6] % 5U, 4};
    e.conversation16[0] = op[2] % 32;
    e.performative = (enum ifab_performative)(op[3] % IFAB_PERFORMATIVE_COUNT);
    enum ifab_code code = ifab_conversations_check(c, &e, op[1] % 5, receivers, op[7] % 5, wall, ++numbers, &next, NULL);
    require(code == IFAB_CODE_NONE || code == IFAB_CODE_PROTOCOL_VIOLATION || code == IFAB_CODE_QUOTA_EXCEEDED);
    if (code == IFAB_CODE_NONE) {
        uint8_t bytes[IFAB_CONVERSATION_PACKED_MAX];
        struct ifab_conversation back;
        require(ifab_conversation_unpack(ifab_view_of(bytes, ifab_conversation_pack(&next, bytes)), next.number, &back));
        back.parent_said = next.parent_said; /* of this message, not of the record */
        back.parent_hazards = next.parent_hazards;
        require(memcmp(&back, &next, sizeof back) == 0);
        require(ifab_conversations_reserve(c, 1) == IFAB_OK);
        ifab_conversations_put(c, &next);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ifab_conversation_limits limits = {.total = 20, .per_talent = 8, .idle = 500};
    struct ifab_sequences *s = NULL;
    struct ifab_conversations *c = NULL;
    ifab_usec wall = 0;
    numbers = 0;
    unpack(ifab_view_of(data, size));
    require(ifab_sequences_new(1, &s) == IFAB_OK && ifab_conversations_new(&limits, &c) == IFAB_OK);
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t number = 0;
        switch (data[0] % 4) {
        case 0:
            step_sequence(s, data, wall);
            break;
        case 1:
            step_conversation(c, data, wall);
            break;
        case 2:
            wall += data[1];
            break;
        case 3:
            if (ifab_sequences_dead(s, wall, &number, 1))
                ifab_sequences_remove(s, number);
            if (ifab_conversations_dead(c, wall, &number, 1))
                ifab_conversations_remove(c, number);
            break;
        }
        require(ifab_conversations_count(c) <= limits.total);
    }
    for (uint64_t number = 0, left = numbers; ifab_sequences_dead(s, INT64_MAX, &number, 1); left--) {
        require(left > 0);
        ifab_sequences_remove(s, number);
    }
    for (uint64_t number = 0; ifab_conversations_dead(c, INT64_MAX, &number, 1);)
        ifab_conversations_remove(c, number);
    require(ifab_conversations_count(c) == 0);
    ifab_sequences_free(s);
    ifab_conversations_free(c);
    return 0;
}
