/* escape.c: what reaches a person's screen. Pure but for the FILE. */
#ifndef IFAB_CLI_ESCAPE_H
#define IFAB_CLI_ESCAPE_H
#include <stdio.h>

#include "base/view.h"

void cli_put_text(FILE *to, struct ifab_view text);            /* escapes C0, C1, bidi, zero-width, bad UTF-8 as \u{202e} */
size_t cli_text_width(struct ifab_view text);                  /* columns it takes as escaped */
struct ifab_view cli_text_fit(struct ifab_view text, size_t width); /* the beginning of text that takes at most width columns as escaped */
void cli_put_json_string(FILE *to, struct ifab_view text);     /* the same as \u escapes: still the same JSON string */
void cli_put_csv_cell(FILE *to, struct ifab_view text);        /* quoted; formula cells neutralised */

/* watch_keys.c: what a terminal sends, as keys of `decision watch` */
enum watch_key { WATCH_NONE, WATCH_UP, WATCH_DOWN, WATCH_PAGE_UP, WATCH_PAGE_DOWN, WATCH_NEXT_TOPIC, WATCH_LAST_TOPIC, WATCH_BY_TOPIC, WATCH_APPROVE, WATCH_REFUSE,
                 WATCH_SCOPE_OK, WATCH_QUIT };
/* The key that bytes (not empty) begin with. *ret_used: its bytes; 0: the rest of a sequence has not come yet. A sequence nobody knows is
 * WATCH_NONE as a whole: the keypad's ESC O r is no r. */
enum watch_key watch_key_next(struct ifab_view bytes, size_t *ret_used);
#define WATCH_SEQUENCE_MAX 16 /* bytes of a sequence; a longer one is no sequence */
#endif
