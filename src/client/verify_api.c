/* The verifier as the installed header names it. */
#include "client/verify.h"

#include <infrafabric/verify.h>

ifab_status ifab_verify_export(const char *dir, const struct ifab_verify_options *options, struct ifab_verify_report *ret_report,
                               struct ifab_error *err)
{
    return ifab_verify_log(dir, options, ret_report, err);
}

ifab_status ifab_verify_receipt_bytes(struct ifab_view bytes, const struct ifab_verify_options *options,
                                      struct ifab_verify_report *ret_report, struct ifab_error *err)
{
    return ifab_verify_receipt(bytes, options, ret_report, err);
}
