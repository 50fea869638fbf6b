/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a connection to a verdict: see decide.c.
 */
#ifndef TIDELOCK_DECIDE_H
#define TIDELOCK_DECIDE_H

#include <linux/types.h>

#include "ident.h"
#include "verdict.h"

struct tdl_ask;
struct tdl_svid;

/* One end of a connection that wants a verdict, and what came of it. */
struct tdl_case {
	u64 id;				/* of the socket that connects, or of the listener */
	u32 direction;
	struct tdl_address local;
	struct tdl_address remote;
	struct tdl_process process;	/* all zero where nobody could be told, as what follows */
	u32 uid;
	u64 cgroup;
	u64 epoch;			/* of what was in force when it was decided */
	bool own;			/* by nobody's policy: off, exempt, the daemon itself */
	struct tdl_verdict verdict;
	/* With a reference each, for who has made the case and for no copy of it. */
	struct tdl_ask *ask;		/* while there is no verdict */
	struct tdl_svid *svid;		/* of a verdict for mTLS that is in force */
};

bool tdl_decide(const struct tdl_caller *caller, struct tdl_case *c, struct tdl_key *key);
void tdl_decide_answer(struct tdl_case *c);
bool tdl_decide_allows(struct tdl_case *c);
void tdl_decide_refuse(struct tdl_case *c, u32 reason);
void tdl_decide_forget(struct tdl_case *c);

#endif /* TIDELOCK_DECIDE_H */
