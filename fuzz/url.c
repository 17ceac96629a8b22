/*
 * URLs of guests: what is accepted is written again, read again as the same, and written as the same bytes; its path stays one under cutting
 * and holds no segment that climbs. An address in it is never accepted in a second spelling.
 */
#include "egress/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_url url, again;
    struct ifab_error err = {.status = IFAB_OK};
    struct ifab_buf text = IFAB_BUF_INIT((size_t)2 * IFAB_URL_MAX);
    struct ifab_address address;
    struct ifab_cidr net;
    char written[IFAB_ADDRESS_TEXT_MAX];
    if (ifab_address_parse(ifab_view_of(data, size), &address)) {
        ifab_address_write(&address, written);
        require(ifab_address_parse(ifab_view_str(written), &again.address) && ifab_address_equal(&address, &again.address));
        (void)ifab_address_classify(&address, NULL);
    }
    if (ifab_cidr_parse(ifab_view_of(data, size), &net, NULL) == IFAB_OK)
        require(ifab_cidr_contains(&net, &net.base));
    if (ifab_url_parse(ifab_view_of(data, size), &url, &err) != IFAB_OK) {
        require(err.status != IFAB_OK && err.text[0] != '\0');
        return 0;
    }
    ifab_url_write(&url, ifab_view_of(NULL, 0), &text);
    require(ifab_url_parse(ifab_buf_as_view(&text), &again, NULL) == IFAB_OK);
    require(ifab_origin_same(&url.origin, &again.origin) && ifab_view_equal(url.path, again.path) && ifab_view_equal(url.query, again.query));
    require(url.has_query == again.has_query && url.is_address == again.is_address);
    require(ifab_path_valid(url.path) && url.path.data[0] == '/');
    for (size_t i = 0; i < url.origin.host.size; i++)
        require(url.origin.host.data[i] != '@' && url.origin.host.data[i] != '/' && url.origin.host.data[i] != '%');
    struct ifab_egress_row row = {.origin = url.origin, .path = url.path, .methods = 1U << IFAB_EGRESS_METHOD_GET};
    require(ifab_egress_row_matches(&row, &url, IFAB_EGRESS_METHOD_GET) || memchr(url.path.data, '*', url.path.size) != NULL);
    ifab_buf_fini(&text);
    return 0;
}
