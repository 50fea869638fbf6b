/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who is trusted: see trust.c.
 */
#ifndef TIDELOCK_TRUST_H
#define TIDELOCK_TRUST_H

#include <linux/types.h>

struct tdl_frame;

ssize_t tdl_trust_change(const u8 *in, size_t in_len, struct tdl_frame *answer);
struct tdl_trust *tdl_trust_now(void);
void tdl_trust_exit(void);

#endif /* TIDELOCK_TRUST_H */
