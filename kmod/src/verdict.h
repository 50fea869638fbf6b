/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What was decided, and by which policy.
 */
#ifndef TIDELOCK_VERDICT_H
#define TIDELOCK_VERDICT_H

#include <linux/types.h>

struct tdl_terms;

struct tdl_verdict {
	u64 generation;
	struct tdl_terms *terms;	/* of one for mTLS, with a reference; else NULL */
	u32 decision;		/* TDL_DENY and so on */
	u32 reason;		/* of the daemon, or TDL_REASON_* */
};

#endif /* TIDELOCK_VERDICT_H */
