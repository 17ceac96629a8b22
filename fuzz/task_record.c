/* Records of tasks, closed tasks and swarms, and packed names: whatever unpacks, packs to the same bytes. */
#include "coordinator/coordinator.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

/* What is of an older version is written as one of this; it then says the same. */
static void closed_again(struct ifab_view bytes, const struct ifab_closed_task *closed)
{
    uint8_t packed[IFAB_CLOSED_TASK_PACKED], twice[IFAB_CLOSED_TASK_PACKED];
    struct ifab_closed_task again;
    require(ifab_closed_task_pack(closed, packed) == sizeof packed && ifab_closed_task_unpack(ifab_view_of(packed, sizeof packed), 7, &again));
    require(ifab_closed_task_pack(&again, twice) == sizeof twice && memcmp(packed, twice, sizeof twice) == 0);
    require(again.created_index == closed->created_index && again.index == closed->index && again.closed == closed->closed);
    require(bytes.size == sizeof packed ? memcmp(packed, bytes.data, sizeof packed) == 0 : closed->created_index == closed->index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ifab_coordinator *coordinator;
    uint8_t packed[IFAB_TASK_PACKED_MAX];
    struct ifab_task task, next;
    struct ifab_closed_task closed;
    struct ifab_names names;
    struct ifab_view bytes = ifab_view_of(data, size);
    if (ifab_task_unpack(bytes, 1000, &task)) {
        if (data[0] == 1) /* without the size of its wants */
            require(ifab_task_pack(&task, packed) == size + 2);
        else
            require(ifab_task_pack(&task, packed) == size && memcmp(packed, data, size) == 0);
        for (int event = 0; event < IFAB_TASK_EVENT_COUNT; event++) {
            struct ifab_task_act act = {.event = (enum ifab_task_event)event, .fence = task.fence, .swarm = {1}, .next_fence = {task.fence.n + 1}};
            if (ifab_task_act(&task, &act, &next, NULL) == IFAB_CODE_NONE && ifab_task_open(next.state))
                require(ifab_task_pack(&next, packed) <= sizeof packed);
        }
    }
    if (ifab_closed_task_unpack(bytes, 7, &closed))
        closed_again(bytes, &closed);
    if (size < 256 && ifab_names_read(bytes, &names))
        require(names.count <= size / 2 && ifab_names_cover(&names, &names));
    if (coordinator == NULL) {
        struct ifab_coordinator_limits limits;
        ifab_coordinator_limits_default(&limits);
        require(ifab_coordinator_new(&limits, &coordinator) == IFAB_OK);
    }
    if (ifab_swarm_load(coordinator, 1, bytes, NULL) == IFAB_OK)
        require(ifab_view_equal(ifab_swarm_at(coordinator, (struct ifab_swarm_number){1})->record, bytes));
    return 0;
}
