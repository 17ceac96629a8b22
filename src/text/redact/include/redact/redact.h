#ifndef REDACT_REDACT_H
#define REDACT_REDACT_H
/*
 * Secrets out of what is shown and stored: by key name (password, secret, token, api_key, authorization, private_key, …; compared
 * without case, '-' and '_') and by pattern (PEM private keys, AWS AKIA/ASIA ids, GitHub ghp_/gho_/github_pat_, Slack xox?-,
 * Stripe sk_live_, sk-…, JWT eyJ….….…, "Bearer …", URL user:password@). requirements section 11.
 */
#include "base/buf.h"
#include "json/json.h"

#define IFAB_REDACTED "***REDACTED***"
/* Would ifab_redact_text change it? Bounded: linear in size. */
bool ifab_redact_hits_text(struct ifab_view text);
/* Any string under a secret name, or any string or name that hits, anywhere in the tree. Empty strings and null under a
   secret name do not count. */
bool ifab_redact_hits_json(const struct ifab_json *value);
/* Append text with every secret replaced by IFAB_REDACTED; the result does not hit. Out of memory: buf fails and nothing is appended. */
void ifab_redact_text(struct ifab_buf *buf, struct ifab_view text);
/* Append the canonical form of value with secrets replaced. */
void ifab_redact_json(struct ifab_buf *buf, const struct ifab_json *value);
/*
 * From now on also what this function finds: the first value that must not be shown, at or behind from. NULL: none. The marks of redaction must not be
 * among the values. fn is called from all threads; set once, and taken away when no other thread is left.
 */
typedef bool ifab_redact_exact_fn(void *user, struct ifab_view text, size_t from, size_t *ret_at, size_t *ret_size);
void ifab_redact_set_exact(ifab_redact_exact_fn *find, void *user);
bool ifab_redact_secret_name(struct ifab_view name);
#endif
