#ifndef YAML_YAML_TREE_H
#define YAML_YAML_TREE_H
/*
 * Strict YAML (libyaml events) into the tree of json/json.h: no tags, anchors, aliases, merge keys, second document or duplicate
 * names. Plain scalars: a schema types them, so the reader gives every scalar as a string, with its style in the tree's offset table:
 * scalars stay IFAB_JSON_STRING; ifab_yaml_position() gives line and column of a node for messages.
 */
#include "json/json.h"
#include "json/schema.h"

struct ifab_yaml_mark {
    uint32_t line, column; /* 1-based */
    bool quoted;           /* the scalar was quoted or a block */
};
struct ifab_yaml {
    const struct ifab_json *root;
    const struct ifab_yaml_mark *marks; /* indexed by node->offset, and by member->offset for names: ordinals in document order */
    size_t mark_count;
};
/* IFAB_INVALID with err->line; IFAB_TOO_LARGE above 8 MiB; depth and names as JSON. An empty document is an empty object. */
IFAB_MUST_CHECK ifab_status ifab_yaml_read(struct ifab_view bytes, struct ifab_arena *arena, struct ifab_yaml *ret_yaml,
                                           struct ifab_error *err);
struct ifab_yaml_mark ifab_yaml_position(const struct ifab_yaml *yaml, const struct ifab_json *node);
/*
 * The tree with its scalars typed by a schema. Where that leaves a value open, a plain scalar spelled as a number, true, false or null of JSON is
 * that, everything else text. Whether the document fits is ifab_schema_check()'s to say; offsets stay ordinals. IFAB_NOMEM.
 */
IFAB_MUST_CHECK ifab_status ifab_yaml_typed(const struct ifab_yaml *yaml, const struct ifab_schema *schema, struct ifab_arena *arena,
                                            const struct ifab_json **ret_tree, struct ifab_error *err);
#endif
