// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the core leaves to the shim of a frame that user space has sent.
 *
 * All of it in the engine, without any lock.
 */
#include <linux/compiler.h>
#include <linux/errno.h>

#include "ask.h"
#include "cache.h"
#include "counters.h"
#include "engine.h"
#include "frame.h"
#include "obey.h"
#include "policy.h"
#include "svid.h"
#include "trust.h"

static ssize_t tdl_obey_status(u64 id, struct tdl_frame *answer)
{
	struct tdl_status status = {
		.generation = tdl_policy_generation(),
		.mode = tdl_policy_mode(),
		.deadline_ms = tdl_policy_deadline_ms(),
		.waiting = tdl_asks_count(),
		.kept = tdl_cache_count(),
	};

	tdl_counters_sum(&status.counters);
	return tdl_engine_status(id, &status, answer->data, answer->cap);
}

/* An order, and the frame that it came of. The length of the answer, 0 for none, or an errno. */
ssize_t tdl_obey(const struct tdl_order *order, const u8 *in, size_t in_len,
		 struct tdl_frame *answer)
{
	int ret;

	switch (order->kind) {
	case TDL_ORDER_NONE:
		return 0;
	case TDL_ORDER_VERDICT:
		tdl_asks_verdict(order, in, in_len);
		return 0;
	case TDL_ORDER_ISSUED:
		tdl_svids_issued(order, in, in_len);
		return 0;
	case TDL_ORDER_NOT_ISSUED:
		tdl_svids_not_issued(order);
		return 0;
	case TDL_ORDER_TRUST:
		return tdl_trust_change(in, in_len, answer);
	case TDL_ORDER_CONFIGURE:
		ret = tdl_policy_configure(order);
		if (ret)
			return ret;
		fallthrough;
	case TDL_ORDER_STATUS:
		return tdl_obey_status(order->id, answer);
	}
	return -EIO;
}
