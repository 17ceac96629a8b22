/* The ranges of frame.h, judged in one place for reader and writer; and the names. */
#include "frame/frame.h"

#include <stdio.h>

static bool printable(struct ifab_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return text.size <= IFAB_FRAME_TEXT_MAX;
}

static bool within(uint64_t value, uint64_t least, uint64_t most) { return value >= least && value <= most; }

bool ifab_frame_load_valid(const struct ifab_frame_load *load)
{
    return load->kind <= IFAB_MODULE_ARTIFACT && within(load->memory_pages, 1, IFAB_FRAME_PAGES_MAX) &&
           load->table_elements <= IFAB_FRAME_TABLE_MAX && within(load->slots, 1, IFAB_FRAME_SLOTS_MAX) && load->imports <= IFAB_IMPORT_ALL &&
           within(load->cpu_seconds, 1, IFAB_FRAME_CPU_MAX) && load->bytes.size > 0;
}

bool ifab_frame_call_valid(const struct ifab_frame_call *call)
{
    return call->export_ < IFAB_EXPORT_COUNT && within(call->deadline_ms, 1, IFAB_FRAME_DEADLINE_MAX) && call->output_max <= IFAB_FRAME_OUTPUT_MAX &&
           within(call->fuel, 1, IFAB_FRAME_FUEL_MAX);
}

bool ifab_frame_host_call_valid(const struct ifab_frame_host_call *call)
{
    bool no_a = call->a.size == 0, no_b = call->b.size == 0;
    switch (call->import) {
    case IFAB_IMPORT_log:
        return call->number <= 3 && no_b;
    case IFAB_IMPORT_http:
        return call->number == 0 && no_b;
    case IFAB_IMPORT_secret_ref:
    case IFAB_IMPORT_kv_get:
        return call->number == 0 && !no_a && no_b;
    case IFAB_IMPORT_kv_put:
        return call->number == 0 && !no_a;
    case IFAB_IMPORT_now:
        return call->number == 0 && no_a && no_b;
    case IFAB_IMPORT_random:
        return within(call->number, 1, IFAB_FRAME_RANDOM_MAX) && no_a && no_b;
    case IFAB_IMPORT_COUNT:
        break;
    }
    return false;
}

bool ifab_frame_host_result_valid(const struct ifab_frame_host_result *result)
{
    return result->status < IFAB_HOST_COUNT && (result->status == IFAB_HOST_OK || result->bytes.size == 0);
}

bool ifab_frame_ready_valid(const struct ifab_frame_ready *ready)
{
    return ready->role <= IFAB_SANDBOX_PREPARE && within(ready->engine.size, 1, IFAB_FRAME_NAME_MAX) && printable(ready->engine) &&
           within(ready->version.size, 1, IFAB_FRAME_NAME_MAX) && printable(ready->version) && ready->config.size <= IFAB_FRAME_CONFIG_MAX;
}

bool ifab_frame_loaded_valid(const struct ifab_frame_loaded *loaded)
{
    return loaded->memory_pages <= IFAB_FRAME_PAGES_MAX && loaded->imports <= IFAB_IMPORT_ALL;
}

bool ifab_frame_load_failed_valid(const struct ifab_frame_load_failed *failed)
{
    return within(failed->error, IFAB_LOAD_ERROR_MALFORMED, IFAB_LOAD_ERROR_INTERNAL) && printable(failed->text);
}

bool ifab_frame_result_valid(const struct ifab_frame_result *result)
{
    return result->trap < IFAB_TRAP_KILLED && result->fuel_used <= IFAB_FRAME_FUEL_MAX && result->output.size <= IFAB_FRAME_OUTPUT_MAX &&
           (result->trap == IFAB_TRAP_NONE || printable(result->output));
}

#define CASE(name, number, text) \
    case number:                 \
        return text;
const char *ifab_frame_type_name(enum ifab_frame_type type)
{
#define TYPE(name, number, daemon, call, large, text) CASE(name, number, text)
    switch ((unsigned)type) {
        IFAB_FRAME_MAP(TYPE)
    default:
        return "?";
    }
#undef TYPE
}

const char *ifab_trap_name(enum ifab_trap trap)
{
    switch ((unsigned)trap) {
        IFAB_TRAP_MAP(CASE)
    default:
        return "?";
    }
}

const char *ifab_load_error_name(enum ifab_load_error error)
{
    switch ((unsigned)error) {
        IFAB_LOAD_ERROR_MAP(CASE)
    default:
        return "?";
    }
}

const char *ifab_host_status_name(enum ifab_host_status status)
{
    switch ((unsigned)status) {
        IFAB_HOST_MAP(CASE)
    default:
        return "?";
    }
}

const char *ifab_import_name(enum ifab_import import)
{
#define IMPORT(name, number, plan) CASE(name, number, #name)
    switch ((unsigned)import) {
        IFAB_IMPORT_MAP(IMPORT)
    default:
        return "?";
    }
#undef IMPORT
}
#undef CASE

uint32_t ifab_wall_of(const char *name)
{
#define BIT(wall, bit, text) | (strcmp(name, text) == 0 ? 1U << (bit) : 0U)
    return 0U IFAB_WALL_MAP(BIT);
#undef BIT
}

void ifab_wall_text(uint32_t walls, char ret_text[IFAB_WALL_TEXT])
{
#define NAME(name, bit, text) text,
    static const char *const names[] = {IFAB_WALL_MAP(NAME)};
#undef NAME
    size_t used = 0;
    ret_text[0] = '\0';
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((walls >> i & 1) != 0) {
            int n = snprintf(ret_text + used, IFAB_WALL_TEXT - used, "%s%s", used > 0 ? " " : "", names[i]);
            used += n > 0 ? (size_t)n : 0;
        }
}
