#ifndef CONNECT_ORDER_H
#define CONNECT_ORDER_H
/*
 * Sequence numbers per (sender URI, key epoch) and conversations. DESIGN section 4 (bounds), section 5 Connect.
 * State is a table of records; a change is a packed record that the store keeps and ifab_order_load_*() reads back: one path for
 * apply and start.
 */
#include "base/code.h"
#include "base/time.h"
#include "connect/envelope.h"

enum ifab_order_mode { IFAB_ORDER_STRICT = 0, IFAB_ORDER_WINDOW = 1 }; /* per talent; window: 1,024 */
#define IFAB_ORDER_WINDOW_SIZE 1024

struct ifab_sequence { /* of one instance; number given at creation (record key) */
    uint64_t number;
    uint32_t talent, epoch;
    uint8_t instance_size;
    char instance[IFAB_NAME_MAX];
    uint64_t last_seq;
    ifab_usec live_until; /* wall: its last message cannot be valid any more after this */
    uint64_t window[IFAB_ORDER_WINDOW_SIZE / 64]; /* bit i: last_seq - i was accepted; strict mode: unused, zero */
};
#define IFAB_SEQUENCE_PACKED_MAX 256

struct ifab_sequences; /* the table */
ifab_status ifab_sequences_new(uint64_t seed, struct ifab_sequences **ret);
void ifab_sequences_free(struct ifab_sequences *self);
ifab_status ifab_sequences_reserve(struct ifab_sequences *self, size_t n);
/*
 * May seq pass? NONE and *ret_next = the record as it will be (a new one takes next_number when none lives).
 * OUT_OF_ORDER with last_seq; QUOTA_EXCEEDED: 64 live instances of that talent. skew widens live_until.
 */
enum ifab_code ifab_sequences_check(const struct ifab_sequences *self, uint32_t talent, uint32_t epoch, struct ifab_view instance,
                                    enum ifab_order_mode mode, uint64_t seq, ifab_usec valid_until, ifab_usec wall, uint64_t next_number,
                                    struct ifab_sequence *ret_next, struct ifab_refusal *ret_refusal);
void ifab_sequences_put(struct ifab_sequences *self, const struct ifab_sequence *sequence); /* insert or replace by number; after reserve */
void ifab_sequences_remove(struct ifab_sequences *self, uint64_t number);
/* At most max dead ones (live_until < wall): the fabric deletes them with record changes. Deterministic: smallest (live_until, number) first. */
size_t ifab_sequences_dead(const struct ifab_sequences *self, ifab_usec wall, uint64_t *ret_numbers, size_t max);
const struct ifab_sequence *ifab_sequences_find(const struct ifab_sequences *self, uint32_t talent, uint32_t epoch,
                                                struct ifab_view instance);
/* Walk the live ones of a talent in order of number; cursor starts at 0. */
const struct ifab_sequence *ifab_sequences_next(const struct ifab_sequences *self, uint32_t talent, uint64_t *cursor);
size_t ifab_sequence_pack(const struct ifab_sequence *sequence, uint8_t ret_bytes[IFAB_SEQUENCE_PACKED_MAX]);
bool ifab_sequence_unpack(struct ifab_view bytes, uint64_t number, struct ifab_sequence *ret_sequence);

/*
 * A conversation belongs to its opener and the receivers it named; others: 105. It ends by its automaton or 24 h after its last
 * message. Automaton: opened by request, query-if, query-ref, propose, inform, contradict, escalate, share, hold; a reply (agree, refuse,
 * accept-proposal, reject-proposal) needs an open conversation in which another party spoke (105 otherwise); refuse and
 * reject-proposal by a party end an exchange opened by request / propose; accept-proposal ends propose. After its end: 105.
 * A conversation opened without receivers is open to every talent (a topic). Each first message of a new party named as receiver
 * joins nobody else.
 */
struct ifab_conversation {
    uint64_t number;
    uint8_t id16[16];
    uint32_t opener;          /* talent number */
    uint8_t opened_by;        /* enum ifab_performative */
    bool ended, open_to_all;
    bool answered;            /* someone other than the opener has spoken: only then may the opener reply */
    ifab_usec idle_from;      /* wall of its last message */
    uint32_t party_count;     /* opener not counted; at most IFAB_RECEIVER_MAX */
    uint32_t parties[IFAB_RECEIVER_MAX]; /* talent numbers, ascending */
    uint32_t last_speaker;
    uint8_t said;             /* performative of its last message, 1 + its number */
    uint8_t hazards;          /* declared so far, bits of guard.h; the fabric adds those of this message */
    /* What stood before this message; 0: it opens the conversation. Not of the record. */
    uint8_t parent_said, parent_hazards;
};
#define IFAB_CONVERSATION_PACKED_MAX 320
struct ifab_conversations;
struct ifab_conversation_limits {
    uint32_t total, per_talent; /* 100,000; 10,000 */
    ifab_usec idle;             /* 24 h */
    uint64_t seed;              /* keys the table: senders choose the ids; from the shell, as for sequences */
};
ifab_status ifab_conversations_new(const struct ifab_conversation_limits *limits, struct ifab_conversations **ret);
void ifab_conversations_free(struct ifab_conversations *self);
ifab_status ifab_conversations_reserve(struct ifab_conversations *self, size_t n);
/* May this talent say this here? NONE and the record as it will be; PROTOCOL_VIOLATION; QUOTA_EXCEEDED (full, or 10,000 of the opener). */
enum ifab_code ifab_conversations_check(const struct ifab_conversations *self, const struct ifab_envelope *envelope, uint32_t talent,
                                        const uint32_t *receivers, size_t receiver_count, ifab_usec wall, uint64_t next_number,
                                        struct ifab_conversation *ret_next, struct ifab_refusal *ret_refusal);
void ifab_conversations_put(struct ifab_conversations *self, const struct ifab_conversation *conversation);
void ifab_conversations_remove(struct ifab_conversations *self, uint64_t number);
size_t ifab_conversations_dead(const struct ifab_conversations *self, ifab_usec wall, uint64_t *ret_numbers, size_t max); /* likewise */
size_t ifab_conversation_pack(const struct ifab_conversation *conversation, uint8_t ret_bytes[IFAB_CONVERSATION_PACKED_MAX]);
bool ifab_conversation_unpack(struct ifab_view bytes, uint64_t number, struct ifab_conversation *ret_conversation);
size_t ifab_conversations_count(const struct ifab_conversations *self);
#endif
