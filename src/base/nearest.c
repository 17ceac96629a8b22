/* Levenshtein distance, one row at a time. */
#include "base/nearest.h"

#include <string.h>

size_t ifab_edit_distance(struct ifab_view a, struct ifab_view b)
{
    size_t row[IFAB_EDIT_DISTANCE_MAX + 1], last[IFAB_EDIT_DISTANCE_MAX + 1] = {0}, before[IFAB_EDIT_DISTANCE_MAX + 1] = {0};
    if (a.size > IFAB_EDIT_DISTANCE_MAX || b.size > IFAB_EDIT_DISTANCE_MAX)
        return SIZE_MAX;
    for (size_t k = 0; k <= b.size; k++)
        row[k] = k;
    for (size_t i = 1; i <= a.size; i++) {
        size_t corner = row[0];
        memcpy(before, last, sizeof before);
        memcpy(last, row, (b.size + 1) * sizeof *row);
        row[0] = i;
        for (size_t k = 1; k <= b.size; k++) {
            size_t change = corner + (a.data[i - 1] != b.data[k - 1]);
            size_t least = row[k] < row[k - 1] ? row[k] + 1 : row[k - 1] + 1;
            corner = row[k];
            row[k] = change < least ? change : least;
            if (i > 1 && k > 1 && a.data[i - 1] == b.data[k - 2] && a.data[i - 2] == b.data[k - 1] && before[k - 2] + 1 < row[k])
                row[k] = before[k - 2] + 1;
        }
    }
    return row[b.size];
}
