#ifndef SUPPORT_CAPABILITY_SUPPORT_H
#define SUPPORT_CAPABILITY_SUPPORT_H
/* A publisher and signed capabilities for the in-process fabric of rig.h. Header only; aborts when it cannot go on. */
#include "rig.h"

#include "capability/manifest.h"
#include "capability/registry.h"

#define CAPABILITY_SIGNER 40 /* of make_signer() */
#define CAPABILITY_DIGEST "abababababababababababababababababababababababababababababababab"
/* operations and limits of a manifest, from its comma on */
#define CAPABILITY_SWITCHER                                                                                                             \
    "\"operations\":{\"cut\":{\"params\":{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"integer\"},"                         \
    "\"fade_ms\":{\"type\":\"integer\",\"default\":0}},\"required\":[\"input\"]},\"effect\":\"write\",\"cost_estimate\":{\"usd_micro\":1500}}," \
    "\"state\":{\"effect\":\"read\",\"idempotent\":true},\"strobe\":{\"effect\":\"physical\"}},\"default_operation\":\"cut\","           \
    "\"scopes\":[\"studio:control\"],\"limits\":{\"rps\":1,\"burst\":4,\"backoff\":[1,2],\"concurrency\":2}"
#define CAPABILITY_ASKED "\"operations\":{\"go\":{\"effect\":\"write\"}},\"limits\":{\"rps\":100,\"burst\":100,\"backoff\":[1]}"

static inline struct ifab_module capability_module(void)
{
    struct ifab_module module = {.size = 1234};
    memset(module.sha256, 0xab, sizeof module.sha256);
    return module;
}

static inline void capability_publish(struct rig *rig, uint32_t admin)
{
    static const struct ifab_view all[] = {{(const uint8_t *)"*", 1}};
    struct ifab_signer *signer = make_signer(CAPABILITY_SIGNER);
    uint8_t key[32];
    ifab_signer_public(signer, key);
    ifab_signer_free(signer);
    struct ifab_command command = {.type = IFAB_COMMAND_PUBLISHER, .principal = &rig->principal};
    command.u.publisher.request = (struct ifab_publisher_request){.name = IFAB_VIEW("Studio"), .pubkey32 = key, .namespaces = all, .namespace_count = 1,
                                                                  .not_after = IFAB_NEVER};
    command.act = rig_act(rig, admin);
    rig_must(rig_do(rig, &command)->code == IFAB_CODE_NONE, rig->outcome.reply.refusal.message);
}

static inline void capability_sign(void *user, struct ifab_view bytes, uint8_t sig64[64]) { ifab_signer_sign(user, bytes, sig64); }

/* rest: members from "operations" on, without the closing brace. */
static inline void capability_allow(struct rig *rig, uint32_t admin, const char *name, const char *version, const char *rest)
{
    struct ifab_arena arena;
    struct ifab_manifest manifest;
    struct ifab_refusal refusal = {.offset = -1};
    struct ifab_buf text = IFAB_BUF_INIT(65536), signed_ = IFAB_BUF_INIT(65536);
    struct ifab_signer *signer = make_signer(CAPABILITY_SIGNER);
    ifab_arena_init(&arena, 2 * IFAB_MANIFEST_ARENA_MAX);
    ifab_buf_format(&text, "{\"id\":\"if://capability/%s\",\"version\":\"%s\",\"summary\":\"A test\",\"entrypoint\":{\"module\":\"t.wasm\",\"sha256\":\"sha256:%s\"," \
                           "\"size\":1234,\"abi\":1},%s}", name, version, CAPABILITY_DIGEST, rest);
    rig_must(ifab_manifest_read(ifab_buf_as_view(&text), &arena, &manifest, &refusal) == IFAB_CODE_NONE, refusal.message);
    uint8_t key[32];
    ifab_signer_public(signer, key);
    rig_must(ifab_manifest_sign(&manifest, key, capability_sign, signer, &signed_, NULL) == IFAB_OK, "sign");
    rig_must(ifab_manifest_read(ifab_buf_as_view(&signed_), &arena, &manifest, &refusal) == IFAB_CODE_NONE, refusal.message);
    struct ifab_command command = {.type = IFAB_COMMAND_CAPABILITY, .principal = &rig->principal};
    command.u.capability.manifest = &manifest;
    command.act = rig_act(rig, admin);
    rig_must(rig_do(rig, &command)->code == IFAB_CODE_NONE, rig->outcome.reply.refusal.message);
    ifab_signer_free(signer);
    ifab_buf_fini(&text);
    ifab_buf_fini(&signed_);
    ifab_arena_fini(&arena);
}

static inline void capability_revoke(struct rig *rig, uint32_t admin, const char *name)
{
    char id[128];
    snprintf(id, sizeof id, "if://capability/%s", name);
    struct ifab_command command = {.type = IFAB_COMMAND_CAPABILITY, .principal = &rig->principal};
    command.u.capability.revoke.id = ifab_view_str(id);
    command.act = rig_act(rig, admin);
    rig_must(rig_do(rig, &command)->code == IFAB_CODE_NONE, rig->outcome.reply.refusal.message);
}
#endif
