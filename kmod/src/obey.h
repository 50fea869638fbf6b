/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core leaves to the shim: see obey.c.
 */
#ifndef TIDELOCK_OBEY_H
#define TIDELOCK_OBEY_H

#include <linux/types.h>

struct tdl_frame;
struct tdl_order;

ssize_t tdl_obey(const struct tdl_order *order, const u8 *in, size_t in_len,
		 struct tdl_frame *answer);

#endif /* TIDELOCK_OBEY_H */
