/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon is to be asked next: see question.c.
 */
#ifndef TIDELOCK_QUESTION_H
#define TIDELOCK_QUESTION_H

#include <linux/types.h>

ssize_t tdl_question_next(bool *svids_turn, u8 *out, size_t cap);

#endif /* TIDELOCK_QUESTION_H */
