/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What this kernel can do: TDL_CAP_* of tidelock_core.h.
 */
#ifndef TIDELOCK_CAPS_H
#define TIDELOCK_CAPS_H

#include <linux/types.h>

u32 tdl_caps(void);

#endif /* TIDELOCK_CAPS_H */
