// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shim as one compilation unit, as kernel/sched/build_policy.c does it: the kernel's
 * headers are read once and not a dozen times, for each of a hundred kernels.
 *
 * Each file also compiles alone (TIDELOCK_SPLIT in Kbuild). core_call.c always does: it has
 * flags of its own.
 */
#include "stack.c"
#include "stack_x86.c"
#include "memory.c"
#include "shims.c"
#include "caps.c"
#include "engine.c"
#include "counters.c"
#include "policy.c"
#include "ident.c"
#include "terms.c"
#include "asker.c"
#include "cache.c"
#include "ask.c"
#include "svid.c"
#include "svid_work.c"
#include "trust.c"
#include "decide.c"
#include "address.c"
#include "recall.c"
#include "conn.c"
#include "connect.c"
#include "held.c"
#include "accept.c"
#include "pass.c"
#include "gate.c"
#include "ops.c"
#include "hook.c"
#include "withdraw.c"
#include "filter.c"
#include "table.c"
#include "frame.c"
#include "obey.c"
#include "session.c"
#include "stats.c"
#include "device.c"
#include "main.c"
