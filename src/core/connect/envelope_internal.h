#ifndef CONNECT_ENVELOPE_INTERNAL_H
#define CONNECT_ENVELOPE_INTERNAL_H
/* What the schema rows and the reader of the envelope share; nobody else sees it. */
#include "connect/envelope.h"
#include "json/schema.h"

extern const struct ifab_schema ifab_envelope__schema;

/* One of IFAB_PERFORMATIVE_MAP, spelled exactly. */
bool ifab_performative__parse(struct ifab_view text, enum ifab_performative *ret_performative);
/* if://agent/NAME[/INSTANCE], if://topic/PATH or if://fabric/ORIGIN; nothing after. */
bool ifab_receiver__parse(struct ifab_view text, struct ifab_receiver *ret_receiver);
#endif
