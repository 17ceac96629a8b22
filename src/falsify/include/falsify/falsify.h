#ifndef FALSIFY_FALSIFY_H
#define FALSIFY_FALSIFY_H
/*
 * Preflight: a table of challenges, each of which tries to show that an act would fail, or would pass where it must not. DESIGN section 5 Falsify.
 * They run over decide, on commands that were changed in one respect, and on the command as it is. Nothing is ever applied, and no number is made up:
 * the evidence of a verdict is what decide answered. Pure.
 *
 *   survived      the challenge was made and could show nothing
 *   falsified     it did: the act would be refused for this, or a changed one would not be refused
 *   inconclusive  it could not be made, since something before it came in its way
 */
#include "base/arena.h"
#include "base/buf.h"
#include "fabric/fabric.h"

/* X(NAME, "challenge", "what it asks") in the order in which the step looks. */
#define IFAB_CHALLENGE_MAP(X)                                                                            \
    X(AUTHORITY, "authority", "may the caller do this, and nobody in its place?")                        \
    X(STALE_PLAN, "stale-plan", "is the plan good now, and refused when its time is over?")              \
    X(SECRET, "secret-in-params", "is there nothing in the parameters that looks like a secret?")        \
    X(MANIFEST_DRIFT, "manifest-drift", "is the capability the one that was planned with, and allowed?") \
    X(TAMPERED_MODULE, "tampered-module", "is a module with one changed bit refused?")                   \
    X(GRANT, "grant", "does the talent hold the grant and every scope?")                                 \
    X(APPROVAL, "physical-without-approval", "is what has to be approved refused until it is?")          \
    X(RATE, "rate", "is the call within its rate and concurrency?")                                      \
    X(BREAKER, "breaker", "is the breaker closed?")                                                      \
    X(BUDGET, "budget", "is there room in every budget?")
#define IFAB_X_(name, text, question) IFAB_CHALLENGE_##name,
enum ifab_challenge { IFAB_CHALLENGE_MAP(IFAB_X_) IFAB_CHALLENGE_COUNT };
#undef IFAB_X_
enum ifab_falsified { IFAB_SURVIVED, IFAB_FALSIFIED, IFAB_INCONCLUSIVE };
const char *ifab_falsified_name(enum ifab_falsified verdict);

/*
 * An apply, as it would be stepped now: command->type is IFAB_COMMAND_APPLY. secret_found: redaction would change the plan's params; the caller looked.
 * Appends {"challenges":[{"challenge","evidence","question","verdict"}…],"verdict"}. The whole is falsified if any is, else inconclusive if any is.
 * Every answer of decide stands in the arena until the caller resets it.
 */
enum ifab_falsified ifab_falsify_apply(const struct ifab_fabric *fabric, const struct ifab_command *command, struct ifab_now now, bool secret_found,
                                       struct ifab_arena *arena, struct ifab_buf *buf);
#endif
