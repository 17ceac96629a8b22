#ifndef LOOP_CALLS_H
#define LOOP_CALLS_H
/*
 * Calls of capabilities: their modules, the guests that run them, and the outcome of each intent, which is put into the log however long that takes.
 *
 *   plan    module -> would it be planned? -> the guest's own words -> IFAB_COMMAND_PLAN -> answer
 *   apply   module -> IFAB_COMMAND_APPLY (the intent) -> commit -> the guest -> IFAB_COMMAND_OUTCOME -> commit -> answer
 */
#include "capability/registry.h"
#include "guest/guest.h"
#include "modules.h"

struct node;
struct request;
struct calls;

/* NULL: it could not be read or loaded; why says so, borrowed until it returns. Runs at once when the module is there. */
typedef void calls_module_fn(struct node *node, struct request *request, void *user, const struct call_module *module, const char *why);
/* Reads it on a reader's thread where it must; each attempt to load leaves an entry (INV-07). The request is the callback's to answer. */
void calls_module(struct node *node, struct request *request, const struct ifab_manifest *manifest, calls_module_fn *then, void *user);
/* The sandboxes, made when first needed. NULL: IF_ERR_509, err says why. */
struct ifab_guests *calls_guests(struct node *node, struct ifab_error *err);
/* Names that its manifest asks for and that have no value; borrowed from the manifest. Returns how many. */
size_t calls_lacks(const struct node *node, const struct ifab_manifest *manifest, struct ifab_view ret_names[IFAB_MANIFEST_CONFIG_MAX]);
/* What the operator configured for it, as a JSON object in arena. false: a value is missing; *ret_missing names it (NULL: out of memory). */
bool calls_config(const struct node *node, const struct ifab_manifest *manifest, struct ifab_arena *arena, struct ifab_view *ret_config, const char **ret_missing);
/* An APPLY has been committed with reply.plan: it is done now. Its request is answered with the outcome, which is kept for its Idempotency-Key. */
struct ticket;
void calls_begin(struct node *node, const struct ticket *applied);
/*
 * In node.h, for the daemon's life: calls_turn() puts outcomes that found no room in again; calls_changed(), behind a commit, ends what was revoked;
 * calls_idle(): no intent without its outcome; calls_stop() ends every call.
 */
/* false: no sandbox was needed yet, or there is none. */
bool calls_sandbox(const struct node *node, struct ifab_guest_sandbox *ret);
/* The newest lines that guests of this capability wrote, oldest first; id: without version, exact. Returns how many. */
size_t calls_lines(const struct node *node, struct ifab_view id, size_t most, struct ifab_buf *buf);
#endif
