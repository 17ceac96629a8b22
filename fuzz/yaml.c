/* Any bytes: refused with a line inside the text, or a tree whose canonical form is JSON that our reader takes. */
#include "yaml/yaml_tree.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_marks(const struct ifab_yaml *yaml, const struct ifab_json *node)
{
    if (ifab_yaml_position(yaml, node).line == 0)
        abort();
    for (size_t i = 0; node->type == IFAB_JSON_ARRAY && i < node->u.array.count; i++)
        check_marks(yaml, &node->u.array.items[i]);
    for (size_t i = 0; node->type == IFAB_JSON_OBJECT && i < node->u.object.count; i++)
        check_marks(yaml, &node->u.object.members[i].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_arena arena;
    struct ifab_yaml yaml;
    struct ifab_error err = {0};
    ifab_arena_init(&arena, (size_t)64 << 20);
    if (ifab_yaml_read(ifab_view_of(data, size), &arena, &yaml, &err) == IFAB_OK) {
        struct ifab_buf buf = IFAB_BUF_INIT((size_t)8 << 20);
        check_marks(&yaml, yaml.root);
        ifab_json_write(&buf, yaml.root);
        if (ifab_buf_status(&buf) != IFAB_OK)
            abort();
        ifab_buf_fini(&buf);
    } else if (err.text[0] == '\0') {
        abort();
    }
    ifab_arena_fini(&arena);
    return 0;
}
