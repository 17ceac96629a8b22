#ifndef LOOP_LINES_H
#define LOOP_LINES_H
/*
 * The newest lines that guests wrote, in memory, bounded as a whole and by capability: who writes much pushes out its own. Pure but for memory.
 */
#include "base/time.h"
#include "base/view.h"
#include "capability/manifest.h"

#define LINES_MAX   512
#define LINES_SHARE 128 /* of one capability, whatever its version, as soon as it writes beside others */
#define LINE_SIZE   1024

struct line {
    ifab_usec wall;
    uint32_t talent;
    unsigned level;
    uint16_t owner, size;
    char capability[IFAB_CAPABILITY_ID_MAX + IFAB_CAPABILITY_VERSION_MAX + 2]; /* id@version */
    char text[LINE_SIZE];
};
struct lines { /* zeroed: none */
    struct lines_room *room; /* made with the first line */
};
/* capability: "if://capability/NAME@VERSION". Without memory the line is lost. */
void lines_put(struct lines *self, ifab_usec wall, struct ifab_view capability, uint32_t talent, unsigned level, struct ifab_view text);
/* The newest of a capability, at most so many, oldest first; id: "if://capability/NAME", exact. Borrowed until the next lines_put(). Returns how many. */
size_t lines_of(const struct lines *self, struct ifab_view id, size_t most, const struct line *ret_lines[LINES_MAX]);
void lines_free(struct lines *self);
#endif
