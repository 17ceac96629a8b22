#ifndef SECRET_INTERNAL_H
#define SECRET_INTERNAL_H
/* Shared inside src/core/secret only. Views of what is read point into the record, which has no escapes in what is taken from it. */
#include "secret/secret.h"
#include "json/json.h"

ifab_status ifab_secret__read(struct ifab_view record, struct ifab_arena *arena, struct ifab_secret *ret_secret, struct ifab_error *err);
ifab_status ifab_secret__read_mark(struct ifab_view record, struct ifab_arena *arena, struct ifab_secret_mark *ret_mark, struct ifab_error *err);
#endif
