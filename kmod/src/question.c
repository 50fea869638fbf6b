// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the daemon is to be asked next: for a verdict, or for an SVID. All of it in the engine.
 */
#include "ask.h"
#include "asker.h"
#include "engine.h"
#include "question.h"
#include "svid.h"

/* The next question for a verdict: its length, 0 when all are sent, or an errno. */
static ssize_t tdl_question_verdict(u8 *out, size_t cap)
{
	struct tdl_ask *ask = tdl_asks_next();
	struct tdl_ask_facts facts;
	ssize_t len;

	if (!ask)
		return 0;
	tdl_asker_describe(ask->asker, &facts);
	len = tdl_engine_ask(ask->id, &facts, out, cap);
	tdl_ask_put(ask);
	return len;
}

/* The same of the next request for an SVID. */
static ssize_t tdl_question_svid(u8 *out, size_t cap)
{
	struct tdl_svid *svid = tdl_svids_next();
	ssize_t len;

	if (!svid)
		return 0;
	len = tdl_svid_request(svid, out, cap);
	tdl_svid_put(svid);
	return len;
}

/* By turns, of which the caller remembers the last: neither keeps the other waiting. */
ssize_t tdl_question_next(bool *svids_turn, u8 *out, size_t cap)
{
	ssize_t len;

	*svids_turn = !*svids_turn;
	len = *svids_turn ? tdl_question_svid(out, cap) : tdl_question_verdict(out, cap);
	if (len)
		return len;
	return *svids_turn ? tdl_question_verdict(out, cap) : tdl_question_svid(out, cap);
}
