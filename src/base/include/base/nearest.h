#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H
/* For "did you mean": how far two short names are apart. */
#include "base/view.h"

#define IFAB_EDIT_DISTANCE_MAX 128
/* Levenshtein distance in bytes, where two neighbours changed about count once; SIZE_MAX when one has more than IFAB_EDIT_DISTANCE_MAX. */
size_t ifab_edit_distance(struct ifab_view a, struct ifab_view b);
#endif
