/*
 * Rows about one capability: egress.allow, "NAME CIDR PORT", and capabilities.config, "NAME KEY VALUE". One reader of each for the start, what guests
 * are bound by and given, `ifctl config check` and `ifctl doctor`.
 */
#include "capability/manifest.h"
#include "config/config.h"
#include "egress/address.h"

#include <stdio.h>

/* The next word of text, which loses it and the spaces behind it. */
static struct ifab_view word(struct ifab_view *text)
{
    size_t size = 0, next;
    while (size < text->size && text->data[size] != ' ')
        size++;
    for (next = size; next < text->size && text->data[next] == ' ';)
        next++;
    struct ifab_view first = {text->data, size};
    *text = ifab_view_of(text->data + next, text->size - next);
    return first;
}

bool ifab_config_capability_value(const struct ifab_config *config, struct ifab_view name, struct ifab_view key, struct ifab_view *ret_value)
{
    for (size_t i = 0; i < config->capability_config_count; i++) {
        struct ifab_view rest = ifab_view_str(config->capability_config[i]);
        while (rest.size > 0 && rest.data[0] == ' ')
            rest = ifab_view_of(rest.data + 1, rest.size - 1);
        if (!ifab_view_equal(word(&rest), name) || !ifab_view_equal(word(&rest), key))
            continue;
        *ret_value = rest;
        return true;
    }
    return false;
}

static bool name_valid(struct ifab_view name)
{
    char id[IFAB_CAPABILITY_ID_MAX + 1];
    int size = snprintf(id, sizeof id, "if://capability/" IFAB_FMT, IFAB_ARG(name));
    return size > 0 && (size_t)size < sizeof id && ifab_capability_id_valid(ifab_view_of((const uint8_t *)id, (size_t)size));
}

/* 1..65535 without a leading zero. */
static bool port_parse(struct ifab_view text, uint16_t *ret_port)
{
    unsigned number = 0;
    if (text.size < 1 || text.size > 5 || text.data[0] == '0')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_port = (uint16_t)number;
    return number <= 65535;
}

bool ifab_config_egress_read(struct ifab_view text, struct ifab_config_egress *ret_row, const char **ret_why)
{
    struct ifab_config_egress row;
    struct ifab_cidr net;
    row.name = word(&text);
    row.net = word(&text);
    if (!name_valid(row.name))
        *ret_why = "expected NAME CIDR PORT, e.g. vmix.switcher 10.0.0.5/32 8088; NAME is what stands behind if://capability/";
    else if (ifab_cidr_parse(row.net, &net, NULL) != IFAB_OK)
        *ret_why = "expected NAME CIDR PORT, e.g. vmix.switcher 10.0.0.5/32 8088; CIDR is an address or a net with no bit set behind its length";
    else if (!port_parse(text, &row.port))
        *ret_why = "expected NAME CIDR PORT, e.g. vmix.switcher 10.0.0.5/32 8088; PORT is 1 to 65535, and nothing stands behind it";
    else {
        *ret_row = row;
        return true;
    }
    return false;
}
