/* ifd.yaml from bytes: never crashes; what is accepted has every setting within its range. */
#include "config/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ifab_config config; /* large: not on the stack */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_error err = {0};
    ifab_status status = ifab_config_parse(ifab_view_of(data, size), "/srv/fabric", &config, &err);
    if (status != IFAB_OK) {
        if (err.text[0] == '\0' && status != IFAB_NOMEM)
            abort(); /* a refusal without a word */
        return 0;
    }
    if (config.time_skew_usec < 0 || config.time_skew_usec > 300 * IFAB_SECOND || config.message_max < 1024 || config.data_dir[0] != '/' ||
        config.uid_count > IFAB_CONFIG_UIDS_MAX || config.role_count > 16 || config.http_host_count > 16)
        abort();
    return 0;
}
