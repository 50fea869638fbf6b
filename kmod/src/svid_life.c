// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of an SVID in the table: asked for, held, refused, expired, at its end.
 */
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <linux/spinlock.h>

#include "asker.h"
#include "policy.h"
#include "svid.h"
#include "svid_table.h"
#include "watch.h"

/* In jiffies: what was not issued is not asked for again before; twice that the next time. */
#define TDL_SVID_RETRY (2 * HZ)
#define TDL_SVID_DOUBLINGS 4
/* In jiffies: of an identity whose processes have all ended, as far as we know of them. */
#define TDL_SVID_IDLE (60 * HZ)
/* In seconds: a clock that is this much behind when it was issued was set back. */
#define TDL_SVID_SKEW 60

/* With the lock held: there is no request any more. */
static void tdl_svid_answered(struct tdl_svid *svid)
{
	svid->asked = false;
	svid->number = 0;
	hash_del(&svid->by_number);
	list_del_init(&svid->unsent);
}

/* With the lock held. */
void tdl_svid_ask(struct tdl_svid *svid)
{
	svid->asked = true;
	svid->since = get_jiffies_64();
	list_add_tail(&svid->unsent, &tdl_svids.unsent);
	if (svid->state != TDL_SVID_HELD)
		svid->state = TDL_SVID_WANTED;
}

/* With the lock held. Who waits looks again, unless it is only wanted. */
static void tdl_svid_set(struct tdl_svid *svid, enum tdl_svid_state state)
{
	svid->state = state;
	if (state != TDL_SVID_WANTED)
		tdl_watches_fire(&svid->watches);
}

/* With the lock held. The table's reference is the caller's. */
void tdl_svid_withdraw(struct tdl_svid *svid, u32 reason)
{
	tdl_svid_answered(svid);
	svid->reason = reason;
	tdl_svid_set(svid, TDL_SVID_REFUSED);
	hash_del(&svid->by_who);
	list_del_init(&svid->all);
	tdl_svids.shares[svid->share]--;
	tdl_svids.size--;
}

/* With the lock held: whether it is past its time, and if so there is none. */
bool tdl_svid_expires(struct tdl_svid *svid, u64 now)
{
	if (svid->state != TDL_SVID_HELD || now < svid->until)
		return false;
	svid->reason = TDL_REASON_NO_SVID;
	tdl_svid_set(svid, svid->asked ? TDL_SVID_WANTED : TDL_SVID_REFUSED);
	return true;
}

/* With the lock held: whether it is to be asked for now. */
bool tdl_svid_is_wanted(const struct tdl_svid *svid, u64 now)
{
	if (svid->asked || time_before64(get_jiffies_64(), svid->retry))
		return false;
	/* Set back: by the new time it may not be valid yet. */
	return svid->state != TDL_SVID_HELD || now >= svid->renew ||
	       now + TDL_SVID_SKEW < svid->from;
}

/* For a daemon that knows of none yet; and perhaps it says what the one before did not. */
void tdl_svids_send_again(void)
{
	struct tdl_svid *svid;

	spin_lock_bh(&tdl_svids.lock);
	list_for_each_entry(svid, &tdl_svids.all, all) {
		svid->failures = 0;
		svid->retry = 0;
		if (svid->asked && list_empty(&svid->unsent))
			list_add_tail(&svid->unsent, &tdl_svids.unsent);
	}
	spin_unlock_bh(&tdl_svids.lock);
}

/* The next one whose request is to be sent, with a reference; NULL when all are. */
struct tdl_svid *tdl_svids_next(void)
{
	struct tdl_svid *svid;

	spin_lock_bh(&tdl_svids.lock);
	svid = list_first_entry_or_null(&tdl_svids.unsent, struct tdl_svid, unsent);
	if (svid) {
		list_del_init(&svid->unsent);
		refcount_inc(&svid->refs);
	}
	spin_unlock_bh(&tdl_svids.lock);
	return svid;
}

/* A request was made under this number, in place of the one before. */
void tdl_svid_sent(struct tdl_svid *svid, u64 number)
{
	spin_lock_bh(&tdl_svids.lock);
	hash_del(&svid->by_number);
	/* Else it has made room for others meanwhile. */
	if (svid->asked) {
		svid->number = number;
		svid->since = get_jiffies_64();
		hash_add(tdl_svids.by_number, &svid->by_number, number);
	}
	spin_unlock_bh(&tdl_svids.lock);
}

/* The engine has an identity for it. */
void tdl_svid_held(struct tdl_svid *svid, u64 from, u64 renew, u64 until)
{
	spin_lock_bh(&tdl_svids.lock);
	/* Else it has made room for others meanwhile, and goes. */
	if (svid->asked) {
		tdl_svid_answered(svid);
		svid->issued++;
		svid->failures = 0;
		svid->retry = 0;
		svid->from = from;
		svid->renew = renew;
		svid->until = until;
		tdl_svid_set(svid, TDL_SVID_HELD);
	}
	spin_unlock_bh(&tdl_svids.lock);
}

/* With the lock held. What there is stays as it is. */
static void tdl_svid_refuse(struct tdl_svid *svid, u32 reason)
{
	u64 wait = (u64)TDL_SVID_RETRY << svid->failures;

	tdl_svid_answered(svid);
	/* Not all at once. */
	svid->retry = get_jiffies_64() + wait + get_random_u32() % HZ;
	if (svid->failures < TDL_SVID_DOUBLINGS)
		svid->failures++;
	svid->reason = reason;
	if (svid->state != TDL_SVID_HELD)
		tdl_svid_set(svid, TDL_SVID_REFUSED);
}

void tdl_svid_refused(struct tdl_svid *svid, u32 reason)
{
	spin_lock_bh(&tdl_svids.lock);
	tdl_svid_refuse(svid, reason);
	spin_unlock_bh(&tdl_svids.lock);
}

/* With a reference; NULL when nobody waits for that. */
struct tdl_svid *tdl_svid_by_number(u64 number)
{
	struct tdl_svid *svid, *found = NULL;

	spin_lock_bh(&tdl_svids.lock);
	hash_for_each_possible(tdl_svids.by_number, svid, by_number, number) {
		if (svid->number == number) {
			refcount_inc(&svid->refs);
			found = svid;
			break;
		}
	}
	spin_unlock_bh(&tdl_svids.lock);
	return found;
}

/* Who made it be asked for, with a reference. */
struct tdl_asker *tdl_svid_asker(struct tdl_svid *svid)
{
	struct tdl_asker *asker;

	spin_lock_bh(&tdl_svids.lock);
	asker = tdl_asker_get(svid->asker);
	spin_unlock_bh(&tdl_svids.lock);
	return asker;
}

/* With the lock held, in the engine: whether nobody can use it any more, as far as can be told. */
static bool tdl_svid_has_ended(const struct tdl_svid *svid)
{
	if (tdl_asker_lives(svid->asker))
		return false;
	return svid->who.scope != TDL_SCOPE_WORKLOAD ||
	       time_after64(get_jiffies_64(), svid->used + TDL_SVID_IDLE);
}

/* With the lock held, in the engine: does what time demands, and says what is left to be done. */
static enum tdl_svid_due tdl_svid_sweep(struct tdl_svid *svid, u64 now, u64 patience)
{
	if (tdl_svid_has_ended(svid)) {
		tdl_svid_withdraw(svid, TDL_REASON_NO_TASK);
		return TDL_SVID_ENDED;
	}
	if (svid->asked && time_after64(get_jiffies_64(), svid->since + patience)) {
		tdl_svid_refuse(svid, TDL_REASON_TIMEOUT);
		return TDL_SVID_LATE;
	}
	tdl_svid_expires(svid, now);
	/* Now, or when it was used last. We are the engine: nobody changes it. */
	if (svid->state != TDL_SVID_HELD && svid->identity)
		return TDL_SVID_EXPIRED;
	/* Before anybody needs it. What is not held is asked for by who does. */
	if (svid->state == TDL_SVID_HELD && tdl_svid_is_wanted(svid, now) &&
	    tdl_policy_mode() == TDL_ENFORCE && tdl_asker_is_unchanged(svid->asker))
		tdl_svid_ask(svid);
	return TDL_SVID_RESTS;
}

/*
 * Those of which something is left to do, each with a reference and why. Whether there are any
 * in the table.
 */
bool tdl_svids_sweep(struct list_head *due)
{
	u64 patience = msecs_to_jiffies(tdl_policy_deadline_ms());
	u64 now = ktime_get_real_seconds();
	struct tdl_svid *svid, *next;
	bool any;

	spin_lock_bh(&tdl_svids.lock);
	list_for_each_entry_safe(svid, next, &tdl_svids.all, all) {
		svid->why = tdl_svid_sweep(svid, now, patience);
		if (svid->why == TDL_SVID_RESTS)
			continue;
		/* Of one that has ended it is the table's. */
		if (svid->why != TDL_SVID_ENDED)
			refcount_inc(&svid->refs);
		list_add_tail(&svid->due, due);
	}
	any = tdl_svids.size;
	spin_unlock_bh(&tdl_svids.lock);
	return any;
}

/* Each with the table's reference. */
void tdl_svids_take_all(struct list_head *due)
{
	struct tdl_svid *svid, *next;

	spin_lock_bh(&tdl_svids.lock);
	list_for_each_entry_safe(svid, next, &tdl_svids.all, all) {
		svid->why = TDL_SVID_ENDED;
		tdl_svid_withdraw(svid, TDL_REASON_NO_TASK);
		list_add_tail(&svid->due, due);
	}
	spin_unlock_bh(&tdl_svids.lock);
}
