#ifndef BASE_TRIM_H
#define BASE_TRIM_H
/* Inside base only: a text that snprintf cut short must still be UTF-8, for it goes into JSON. */
void ifab_base__trim_utf8(char *text);
#endif
