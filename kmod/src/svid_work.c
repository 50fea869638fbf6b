// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the engine does with SVIDs: keys are made when their request is sent, put together with the
 * SVID that comes back, and wiped when nobody can use them any more.
 *
 * No two requests have the same number while the module is loaded, so an answer is for the key that
 * was made for it, or for none. A daemon that has just come is asked anew, for a new key.
 */
#include <linux/errno.h>
#include <linux/ktime.h>
#include <linux/llist.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "asker.h"
#include "counters.h"
#include "engine.h"
#include "session.h"
#include "svid.h"
#include "svid_table.h"
#include "terms.h"

#define TDL_SVIDS_SWEEP HZ

static u64 tdl_svids_last_number;	/* the engine's */
static LLIST_HEAD(tdl_svids_gone);

static void tdl_svid_drop_key(struct tdl_svid *svid)
{
	if (svid->waiting)
		tdl_engine_free(TDL_HELD_KEY, svid->waiting);
	svid->waiting = NULL;
}

static void tdl_svid_drop_identity(struct tdl_svid *svid)
{
	if (svid->identity)
		tdl_engine_free(TDL_HELD_IDENTITY, svid->identity);
	svid->identity = NULL;
}

static void tdl_svids_bury_work(struct work_struct *work)
{
	struct llist_node *gone = llist_del_all(&tdl_svids_gone);
	struct tdl_svid *svid, *next;

	llist_for_each_entry_safe(svid, next, gone, gone) {
		tdl_svid_drop_key(svid);
		tdl_svid_drop_identity(svid);
		tdl_terms_put(svid->terms);
		if (svid->asker)
			tdl_asker_put(svid->asker);
		kfree(svid);
	}
}

static DECLARE_WORK(tdl_svids_bury, tdl_svids_bury_work);

/* Nobody has a reference. In any context. */
void tdl_svid_bury(struct tdl_svid *svid)
{
	llist_add(&svid->gone, &tdl_svids_gone);
	tdl_engine_queue(&tdl_svids_bury);
}

/* Makes a key and the frame that wants it certified: its length, or an errno. */
ssize_t tdl_svid_request(struct tdl_svid *svid, u8 *out, size_t cap)
{
	struct tdl_asker *asker = tdl_svid_asker(svid);
	u64 number = ++tdl_svids_last_number;
	struct tdl_ask_facts facts;
	ssize_t len;

	/* What answers the one before is of no use any more. */
	tdl_svid_drop_key(svid);
	if (!tdl_asker_lives(asker)) {
		tdl_asker_put(asker);
		tdl_svid_refused(svid, TDL_REASON_NO_TASK);
		return -ESRCH;
	}
	tdl_asker_describe(asker, &facts);
	len = tdl_engine_sign(number, &facts, svid->terms, out, cap, &svid->waiting);
	tdl_asker_put(asker);
	if (len > 0)
		tdl_svid_sent(svid, number);
	else
		tdl_svid_refused(svid, TDL_REASON_NO_SVID);
	return len;
}

/* Half of what is left, and up to a tenth of it earlier: not all at once. */
static u64 tdl_svid_renewal(u64 now, u64 until)
{
	u64 left = until - now;
	u32 spread = clamp_t(u64, div_u64(left, 10), 1, U32_MAX);

	return now + left / 2 - get_random_u32() % spread;
}

static void tdl_svid_issue(struct tdl_svid *svid, const u8 *in, size_t in_len)
{
	struct tdl_key_waiting *key = svid->waiting;
	u64 now = ktime_get_real_seconds(), until;
	struct tdl_identity *identity;
	ssize_t ret;

	svid->waiting = NULL;
	ret = tdl_engine_certify(key, in, in_len, &identity, &until);
	if (!ret && until <= now) {
		tdl_engine_free(TDL_HELD_IDENTITY, identity);
		ret = -EKEYEXPIRED;
	}
	if (ret) {
		pr_warn_ratelimited("an SVID was issued that is of no use: %zd\n", ret);
		tdl_svid_refused(svid, TDL_REASON_NO_SVID);
		return;
	}
	tdl_svid_drop_identity(svid);
	svid->identity = identity;
	tdl_svid_held(svid, now, tdl_svid_renewal(now, until), until);
}

void tdl_svids_issued(const struct tdl_order *order, const u8 *in, size_t in_len)
{
	struct tdl_svid *svid = tdl_svid_by_number(order->id);

	if (!svid) {
		tdl_count(late);
		return;
	}
	tdl_svid_issue(svid, in, in_len);
	tdl_svid_put(svid);
}

void tdl_svids_not_issued(const struct tdl_order *order)
{
	struct tdl_svid *svid = tdl_svid_by_number(order->id);

	if (!svid) {
		tdl_count(late);
		return;
	}
	tdl_svid_refused(svid, order->reason);
	tdl_svid_drop_key(svid);
	tdl_svid_put(svid);
}

static void tdl_svids_do(struct list_head *due)
{
	struct tdl_svid *svid, *next;

	list_for_each_entry_safe(svid, next, due, due) {
		list_del_init(&svid->due);
		if (svid->why == TDL_SVID_LATE)
			tdl_svid_drop_key(svid);
		else if (svid->why == TDL_SVID_EXPIRED)
			tdl_svid_drop_identity(svid);
		/* Of one that has ended the last, but for who has it open. */
		tdl_svid_put(svid);
	}
}

static void tdl_svids_sweep_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(tdl_svids_sweeper, tdl_svids_sweep_work);

static void tdl_svids_sweep_work(struct work_struct *work)
{
	LIST_HEAD(due);

	if (tdl_svids_sweep(&due))
		tdl_svids_arm();
	tdl_svids_do(&due);
	/* Renewals, if any. */
	tdl_session_feed();
}

/* There is one in the table. */
void tdl_svids_arm(void)
{
	tdl_engine_queue_later(&tdl_svids_sweeper, TDL_SVIDS_SWEEP);
}

static void tdl_svids_end(void *unused)
{
	LIST_HEAD(due);

	tdl_svids_take_all(&due);
	tdl_svids_do(&due);
}

/* What is buried by this is buried before the engine ends. */
void tdl_svids_work_exit(void)
{
	cancel_delayed_work_sync(&tdl_svids_sweeper);
	tdl_engine_do(tdl_svids_end, NULL);
}
