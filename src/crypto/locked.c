/* Memory for secrets. sodium_malloc() asks for a lock and goes on without one; here it is asked for once more, and the answer counts. */
#include "crypto/secret.h"

#include <sodium.h>

ifab_status ifab_locked_new(size_t size, uint8_t **ret_bytes, struct ifab_error *err)
{
    uint8_t *bytes = sodium_malloc(size);
    if (bytes == NULL)
        return ifab_fail(err, IFAB_NOMEM, "no memory for a secret");
    if (sodium_mlock(bytes, size) != 0) { /* with MADV_DONTDUMP */
        sodium_free(bytes);
        return ifab_fail(err, IFAB_FULL, "the system locks no more memory for secrets: raise RLIMIT_MEMLOCK (LimitMEMLOCK= in a unit)");
    }
    memset(bytes, 0, size);
    *ret_bytes = bytes;
    return IFAB_OK;
}

void ifab_locked_free(uint8_t *bytes) { sodium_free(bytes); } /* wipes all of its pages, and their lock goes with them */

void ifab_locked_freep(uint8_t **bytes)
{
    ifab_locked_free(*bytes);
    *bytes = NULL;
}
