// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a connection to a verdict.
 *
 * In the context of the task that connects or accepts, holding no lock: it may sleep for memory,
 * and never waits for the daemon.
 */
#include <linux/err.h>
#include <linux/string.h>
#include <net/sock.h>

#include "ask.h"
#include "cache.h"
#include "counters.h"
#include "decide.h"
#include "engine.h"
#include "policy.h"
#include "session.h"
#include "svid.h"
#include "terms.h"
#include "trace.h"

static void tdl_decide_by_itself(struct tdl_case *c, u32 decision, u32 reason)
{
	c->own = true;
	c->verdict = (struct tdl_verdict){
		.decision = decision,
		.reason = reason,
		.generation = tdl_policy_generation(),
	};
}

/* Decided without a look at who it is. */
static bool tdl_decide_early(struct tdl_case *c)
{
	if (tdl_policy_mode() == TDL_OFF)
		tdl_decide_by_itself(c, TDL_PLAIN, TDL_REASON_OFF);
	else if (tdl_policy_is_daemon())
		tdl_decide_by_itself(c, TDL_PLAIN, TDL_REASON_DAEMON);
	else if (tdl_policy_exempts(&c->remote))
		tdl_decide_by_itself(c, TDL_PLAIN, TDL_REASON_EXEMPT);
	else
		return false;
	return true;
}

static u32 tdl_decide_reason(long error)
{
	switch (error) {
	case -ENOBUFS:
		return TDL_REASON_OVERFLOW;
	case -ESRCH:
		return TDL_REASON_NO_TASK;
	case -ENOTRECOVERABLE:
		return TDL_REASON_DEAD;
	}
	return TDL_REASON_NO_MEMORY;
}

/* No verdict is kept: the daemon is asked. Whether that has failed at once. */
static bool tdl_decide_ask(struct tdl_case *c, const struct tdl_key *key)
{
	struct tdl_ask *ask;

	if (tdl_engine_is_dead()) {
		tdl_decide_by_itself(c, TDL_DENY, TDL_REASON_DEAD);
		return true;
	}
	/* Nobody waits for a verdict in permissive mode, so nobody is asked who is not there. */
	if (tdl_policy_mode() == TDL_PERMISSIVE && !tdl_session_is_open()) {
		tdl_decide_by_itself(c, TDL_PLAIN, TDL_REASON_OFF);
		return true;
	}
	ask = tdl_ask_open(key, &c->process, &c->local, &c->remote);
	if (IS_ERR(ask)) {
		if (PTR_ERR(ask) == -ENOBUFS)
			tdl_count(overflows);
		tdl_decide_by_itself(c, TDL_DENY, tdl_decide_reason(PTR_ERR(ask)));
		return true;
	}
	if (tdl_policy_mode() == TDL_PERMISSIVE) {
		/* Asked for the record. */
		tdl_ask_put(ask);
		tdl_decide_by_itself(c, TDL_PLAIN, TDL_REASON_OFF);
		return true;
	}
	c->ask = ask;
	return false;
}

/*
 * A verdict for mTLS that is in force needs an SVID: it is found, or asked for by the asker, or by
 * the task that calls.
 */
static void tdl_decide_identify(struct tdl_case *c, const struct tdl_key *key,
				struct tdl_asker *asker)
{
	struct tdl_svid *svid;
	long error;

	if (c->verdict.decision != TDL_MTLS || tdl_policy_mode() != TDL_ENFORCE)
		return;
	svid = tdl_engine_is_dead() ? ERR_PTR(-ENOTRECOVERABLE) : tdl_svid_open(c, key, asker);
	if (!IS_ERR(svid)) {
		c->svid = svid;
		return;
	}
	error = PTR_ERR(svid);
	if (error == -ENOBUFS)
		tdl_count(overflows);
	tdl_decide_forget(c);
	tdl_decide_by_itself(c, TDL_DENY, tdl_decide_reason(error));
}

/*
 * Fills in who it is, what a verdict on that is kept by, and the verdict, and says true; or false,
 * and c->ask has to be waited for and then given to tdl_decide_answer(). The caller was found out
 * in this task since it waited last.
 */
bool tdl_decide(const struct tdl_caller *caller, struct tdl_case *c, struct tdl_key *key)
{
	int ret;

	c->ask = NULL;
	c->svid = NULL;
	c->own = false;
	c->epoch = tdl_policy_epoch();
	memset(&c->verdict, 0, sizeof(c->verdict));
	ret = tdl_ident_purpose(caller, c->direction, &c->local, &c->remote, key);
	c->process = caller->process;
	c->uid = key->uid;
	c->cgroup = key->cgroup;
	if (c->direction == TDL_CONNECT) {
		tdl_count(connects);
		trace_tidelock_connect(c);
	} else {
		tdl_count(accepts);
		trace_tidelock_accept(c);
	}
	if (tdl_decide_early(c))
		return true;
	if (ret) {
		tdl_decide_by_itself(c, TDL_DENY, tdl_decide_reason(ret));
		return true;
	}
	if (tdl_cache_find(key, &c->verdict)) {
		tdl_count(hits);
		tdl_decide_identify(c, key, NULL);
		return true;
	}
	return tdl_decide_ask(c, key);
}

/*
 * Takes over the verdict of a question that is decided, and lets go of the question. In the task of
 * c->process, or, where that asked the question, in any. Sleeps.
 */
void tdl_decide_answer(struct tdl_case *c)
{
	struct tdl_ask *ask = c->ask;
	struct tdl_asker *asker = ask->asker;

	c->ask = NULL;
	c->verdict = ask->verdict;
	tdl_terms_get(c->verdict.terms);
	/* Another of the same identity may have it by now: he calls, and it is his. */
	if (tdl_asker_is(asker, &c->process))
		tdl_decide_identify(c, &asker->key, asker);
	else
		tdl_decide_identify(c, &asker->key, NULL);
	tdl_ask_put(ask);
}

/* Lets go of all that it has. */
void tdl_decide_forget(struct tdl_case *c)
{
	if (c->ask)
		tdl_ask_put(c->ask);
	if (c->svid)
		tdl_svid_put(c->svid);
	tdl_terms_put(c->verdict.terms);
	c->ask = NULL;
	c->svid = NULL;
	c->verdict.terms = NULL;
}

/* The connection may not be after all; tells and counts it, in place of what follows. */
void tdl_decide_refuse(struct tdl_case *c, u32 reason)
{
	tdl_decide_forget(c);
	c->verdict.reason = reason;
	trace_tidelock_verdict(c);
	trace_tidelock_deny(c);
	tdl_count(denied);
}

/*
 * Whether the connection may be, in the mode that is in force; tells and counts it, once. It has an
 * SVID where it must shake hands first: what comes of that is yet to be told.
 */
bool tdl_decide_allows(struct tdl_case *c)
{
	bool enforced = tdl_policy_mode() == TDL_ENFORCE;

	/* Who connects cannot shake hands yet. */
	if (c->svid && enforced && c->direction == TDL_ACCEPT)
		return true;
	tdl_decide_forget(c);
	trace_tidelock_verdict(c);
	if (c->verdict.decision == TDL_PLAIN) {
		tdl_count(allowed);
		return true;
	}
	if (!enforced) {
		tdl_count(would_deny);
		return true;
	}
	if (c->verdict.decision == TDL_MTLS)
		c->verdict.reason = TDL_REASON_NO_MTLS;
	trace_tidelock_deny(c);
	tdl_count(denied);
	return false;
}
