/*
 * One generation as a file: docs/formats/vault.md.
 *
 *   seal     "IFVAULT1", u32 kdf, u32 passes, u32 memory KiB, salt 16, id 16           fixed when the vault is made
 *   counter  u64, u32 records
 *   record   u8 name size, name, u32 version, u64 counter, u8 origins, (u16 size, origin)…, nonce 24, u32 sealed size, sealed
 *   end      nonce 24, tag 16 over all bytes before
 *
 * A value is sealed with the seal and all that stands before its nonce as associated data, and filled up to whole 64 bytes. Invariant: what read
 * takes has one spelling, and every byte of it is under the tag at the end, so nothing in it can be swapped, left out or put together from two files.
 */
#include "vault_internal.h"

#define MAGIC     "IFVAULT1"
#define SEAL_SIZE (8 + 3 * 4 + 16 + 16)
#define HEAD_SIZE (SEAL_SIZE + 8 + 4)
#define END_SIZE  (IFAB_AEAD_NONCE + IFAB_AEAD_TAG)
#define PAD       64
#define PLAIN_MAX (4 + IFAB_VAULT_VALUE_MAX + PAD)
#define ABOUT_MAX (1 + IFAB_VAULT_NAME_MAX + 4 + 8 + 1 + IFAB_VAULT_ORIGINS * (2 + IFAB_VAULT_ORIGIN_MAX))

void vault_keys_derive(const uint8_t master32[32], const struct vault_seal *seal, struct vault_keys *ret_keys)
{
    ifab_subkey(master32, "vault record", ifab_view_of(seal->id16, 16), ret_keys->record32);
    ifab_subkey(master32, "vault file", ifab_view_of(seal->id16, 16), ret_keys->file32);
}

static void put_seal(uint8_t **at, const struct vault_seal *seal)
{
    ifab_put_bytes(at, MAGIC, 8);
    ifab_put_u32(at, seal->kdf);
    ifab_put_u32(at, seal->passes);
    ifab_put_u32(at, seal->memory_kib);
    ifab_put_bytes(at, seal->salt16, 16);
    ifab_put_bytes(at, seal->id16, 16);
}

ifab_status vault_format_head(struct ifab_view file, struct vault_seal *ret_seal, uint64_t *ret_counter, struct ifab_error *err)
{
    static const uint8_t zero16[16];
    struct ifab_reader r = {file.data, file.data + file.size, false};
    struct vault_seal seal = {0};
    if (file.size < HEAD_SIZE + END_SIZE || file.size > VAULT_FILE_MAX || memcmp(file.data, "IFVAULT", 7) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "not a vault, or torn");
    if (file.data[7] != '1')
        return ifab_fail(err, IFAB_UNSUPPORTED, "a vault of a later form");
    (void)ifab_get_bytes(&r, 8);
    seal.kdf = ifab_get_u32(&r);
    seal.passes = ifab_get_u32(&r);
    seal.memory_kib = ifab_get_u32(&r);
    memcpy(seal.salt16, ifab_get_bytes(&r, 16).data, 16);
    memcpy(seal.id16, ifab_get_bytes(&r, 16).data, 16);
    *ret_counter = ifab_get_u64(&r);
    bool plain = seal.passes == 0 && seal.memory_kib == 0 && memcmp(seal.salt16, zero16, 16) == 0;
    if ((seal.kdf != VAULT_KDF_FILE && seal.kdf != VAULT_KDF_ARGON2) || (seal.kdf == VAULT_KDF_FILE) != plain || *ret_counter == 0)
        return ifab_fail(err, IFAB_CORRUPT, "not a vault: its head says nothing that is written");
    *ret_seal = seal;
    return IFAB_OK;
}

struct raw { /* one record, borrowed from the file */
    struct ifab_vault_about about;
    struct ifab_view bound, nonce, sealed, all; /* bound: what stands before the nonce */
};

static unsigned get_u16(struct ifab_reader *r)
{
    unsigned low = ifab_get_u8(r);
    return low | (unsigned)ifab_get_u8(r) << 8;
}

static bool get_record(struct ifab_reader *r, struct raw *ret)
{
    const uint8_t *from = r->at;
    ret->about = (struct ifab_vault_about){0};
    ret->about.name = ifab_get_bytes(r, ifab_get_u8(r));
    ret->about.version = ifab_get_u32(r);
    ret->about.counter = ifab_get_u64(r);
    ret->about.origin_count = ifab_get_u8(r);
    if (r->bad || ret->about.origin_count > IFAB_VAULT_ORIGINS)
        return false;
    for (size_t i = 0; i < ret->about.origin_count; i++)
        ret->about.origins[i] = ifab_get_bytes(r, get_u16(r));
    ret->bound = ifab_view_of(from, (size_t)(r->at - from));
    ret->nonce = ifab_get_bytes(r, IFAB_AEAD_NONCE);
    uint32_t size = ifab_get_u32(r);
    if (r->bad || size < PAD + IFAB_AEAD_TAG || size > PLAIN_MAX + IFAB_AEAD_TAG || (size - IFAB_AEAD_TAG) % PAD != 0)
        return false;
    ret->sealed = ifab_get_bytes(r, size);
    ret->all = ifab_view_of(from, (size_t)(r->at - from));
    return !r->bad && ifab_vault__check(&ret->about, false, NULL) == IFAB_OK;
}

/* The associated data of a record: seal, then what it is about. */
static struct ifab_view bind(const uint8_t *seal_bytes, struct ifab_view bound, uint8_t to[SEAL_SIZE + ABOUT_MAX])
{
    memcpy(to, seal_bytes, SEAL_SIZE);
    memcpy(to + SEAL_SIZE, bound.data, bound.size);
    return ifab_view_of(to, SEAL_SIZE + bound.size);
}

/* u32 size, value, zeros up to whole 64 bytes. */
static bool unpad(struct ifab_view plain, struct ifab_view *ret_value)
{
    struct ifab_reader r = {plain.data, plain.data + plain.size, false};
    uint32_t size = ifab_get_u32(&r);
    uint8_t rest = 0;
    if (size < IFAB_VAULT_VALUE_MIN || size > IFAB_VAULT_VALUE_MAX || size > plain.size - 4 || (4 + size + PAD - 1) / PAD * PAD != plain.size)
        return false;
    for (size_t i = 4 + size; i < plain.size; i++)
        rest |= plain.data[i];
    *ret_value = ifab_view_of(plain.data + 4, size);
    return rest == 0;
}

static ifab_status open_record(const uint8_t *seal_bytes, const struct vault_keys *keys, const struct raw *raw, uint8_t *plain,
                               ifab_vault_visit_fn *visit, void *user, struct ifab_error *err)
{
    uint8_t associated[SEAL_SIZE + ABOUT_MAX];
    struct ifab_view value;
    if (ifab_aead_open(keys->record32, raw->nonce.data, bind(seal_bytes, raw->bound, associated), raw->sealed, plain) != IFAB_OK ||
        !unpad(ifab_view_of(plain, raw->sealed.size - IFAB_AEAD_TAG), &value))
        return ifab_fail(err, IFAB_CORRUPT, "record " IFAB_FMT " does not open", IFAB_ARG(raw->about.name));
    return visit == NULL ? IFAB_OK : visit(user, &raw->about, value, err);
}

ifab_status vault_format_read(struct ifab_view file, const struct vault_keys *keys, ifab_vault_visit_fn *visit, void *user, struct ifab_error *err)
{
    struct vault_seal seal;
    uint64_t counter;
    uint8_t *plain = NULL;
    IFAB_TRY(vault_format_head(file, &seal, &counter, err));
    struct ifab_view covered = ifab_view_of(file.data, file.size - END_SIZE);
    if (ifab_aead_open(keys->file32, covered.data + covered.size, covered, ifab_view_of(covered.data + covered.size + IFAB_AEAD_NONCE, IFAB_AEAD_TAG),
                       NULL) != IFAB_OK)
        return ifab_fail(err, IFAB_DENIED, "it is not under this key, or altered");
    struct ifab_reader r = {covered.data + SEAL_SIZE + 8, covered.data + covered.size, false};
    uint32_t count = ifab_get_u32(&r);
    ifab_status status = ifab_locked_new(PLAIN_MAX, &plain, err);
    for (uint32_t i = 0; i < count && status == IFAB_OK; i++) {
        struct raw raw;
        if (!get_record(&r, &raw) || raw.about.counter > counter || raw.about.counter == 0)
            status = ifab_fail(err, IFAB_CORRUPT, "record %u of it is none", i + 1);
        else
            status = open_record(file.data, keys, &raw, plain, visit, user, err);
    }
    ifab_locked_free(plain);
    if (status == IFAB_OK && r.at != r.end)
        status = ifab_fail(err, IFAB_CORRUPT, "something stands behind its last record");
    return status;
}

/* ---- writing ---- */

static ifab_status put_record(const uint8_t *seal_bytes, const struct vault_keys *keys, const struct ifab_vault_about *about, struct ifab_view value,
                              struct ifab_buf *file, struct ifab_error *err)
{
    uint8_t bound[ABOUT_MAX], associated[SEAL_SIZE + ABOUT_MAX], nonce24[IFAB_AEAD_NONCE], sealed[PLAIN_MAX + IFAB_AEAD_TAG], size4[4];
    uint8_t *at = bound, *plain = NULL, *size_at = size4;
    ifab_put_u8(&at, (uint8_t)about->name.size);
    ifab_put_bytes(&at, about->name.data, about->name.size);
    ifab_put_u32(&at, about->version);
    ifab_put_u64(&at, about->counter);
    ifab_put_u8(&at, (uint8_t)about->origin_count);
    for (size_t i = 0; i < about->origin_count; i++) {
        ifab_put_u8(&at, (uint8_t)(about->origins[i].size & 0xff));
        ifab_put_u8(&at, (uint8_t)(about->origins[i].size >> 8));
        ifab_put_bytes(&at, about->origins[i].data, about->origins[i].size);
    }
    struct ifab_view about_bytes = ifab_view_of(bound, (size_t)(at - bound));
    size_t size = (4 + value.size + PAD - 1) / PAD * PAD;
    IFAB_TRY(ifab_locked_new(size, &plain, err));
    at = plain;
    ifab_put_u32(&at, (uint32_t)value.size);
    ifab_put_bytes(&at, value.data, value.size);
    ifab_random(nonce24, sizeof nonce24);
    ifab_aead_seal(keys->record32, nonce24, bind(seal_bytes, about_bytes, associated), ifab_view_of(plain, size), sealed);
    ifab_locked_free(plain);
    ifab_put_u32(&size_at, (uint32_t)(size + IFAB_AEAD_TAG));
    ifab_buf_view(file, about_bytes);
    ifab_buf_put(file, nonce24, sizeof nonce24);
    ifab_buf_put(file, size4, sizeof size4);
    ifab_buf_put(file, sealed, size + IFAB_AEAD_TAG);
    return IFAB_OK;
}

/* All records of before but this one, as they are. */
static bool copy_others(struct ifab_view before, struct ifab_view name, struct ifab_buf *file, uint32_t *ret_count)
{
    struct ifab_reader r = {before.data + SEAL_SIZE + 8, before.data + before.size - END_SIZE, false};
    uint32_t count = ifab_get_u32(&r);
    for (uint32_t i = 0; i < count; i++) {
        struct raw raw;
        if (!get_record(&r, &raw))
            return false;
        if (ifab_view_equal(raw.about.name, name))
            continue;
        ifab_buf_view(file, raw.all);
        (*ret_count)++;
    }
    return true;
}

ifab_status vault_format_write(struct ifab_view before, const struct vault_seal *seal, const struct vault_keys *keys,
                               const struct ifab_vault_change *change, struct ifab_buf *file, struct ifab_error *err)
{
    uint8_t head[HEAD_SIZE], *at = head, end[END_SIZE];
    struct ifab_vault_about about = change->about;
    uint32_t count = 0;
    if (before.size > 0) {
        struct ifab_reader r = {before.data + SEAL_SIZE, before.data + SEAL_SIZE + 8, false};
        about.counter = ifab_get_u64(&r) + 1;
    }
    put_seal(&at, seal);
    ifab_put_u64(&at, about.counter);
    ifab_put_u32(&at, 0);
    ifab_buf_put(file, head, sizeof head);
    if (before.size > 0 && !copy_others(before, about.name, file, &count))
        return ifab_fail(err, IFAB_INTERNAL, "vault: what was written does not read");
    if (change->value.size > 0) {
        IFAB_TRY(put_record(head, keys, &about, change->value, file, err));
        count++;
    }
    if (ifab_buf_reserve(file, END_SIZE) != IFAB_OK || ifab_buf_status(file) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(file) == IFAB_TOO_LARGE ? IFAB_FULL : IFAB_NOMEM, "vault: no room");
    at = file->data + SEAL_SIZE + 8;
    ifab_put_u32(&at, count);
    ifab_random(end, IFAB_AEAD_NONCE);
    ifab_aead_seal(keys->file32, end, ifab_buf_as_view(file), IFAB_VIEW(""), end + IFAB_AEAD_NONCE);
    ifab_buf_put(file, end, sizeof end);
    return ifab_buf_status(file) == IFAB_OK ? IFAB_OK : ifab_fail(err, IFAB_NOMEM, "vault: no room");
}
