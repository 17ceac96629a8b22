#ifndef IFCTL_ANSWER_H
#define IFCTL_ANSWER_H
#include "base/view.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Is what a fabric answers to a message a decision about another one? An old receipt, genuine or not, says nothing about the message that was sent.
 * What holds no decision is judged by the caller. Pure.
 *
 * @param message_id  that was sent; "": nobody can tell it, so every decision is about another one; NULL: no message was sent
 * @param digest32    its message_digest; NULL: unknown
 */
bool answer_about_another(const char *message_id, const uint8_t *digest32, struct ifab_view body);

#endif
