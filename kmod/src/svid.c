// SPDX-License-Identifier: GPL-2.0-only
/*
 * The SVIDs of the processes of this machine, and those that are asked for.
 *
 * One for each process, or for all processes of one identity where the verdict says so, and each
 * SPIFFE ID. Asked for when a verdict first needs it, renewed while a process is there that may use
 * it, and gone within a second when none is (svid_work.c). A renewal changes nothing until its
 * answer is there. What was refused, or had no answer in time, is not asked for again at once.
 *
 * One spinlock holds the table, as innermost as that of the questions: nothing is done under it but
 * that. Keys and identities are the core's, and only the engine touches them.
 *
 * References: one of the table, one of each who has opened it, one of each list of the engine's.
 */
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>

#include "asker.h"
#include "decide.h"
#include "policy.h"
#include "session.h"
#include "svid.h"
#include "svid_table.h"
#include "terms.h"

#define TDL_SVIDS_MAX 4096
/* More than this of one share: it does not fill the table for the others. */
#define TDL_SVIDS_SHARE_MAX 512

/* In jiffies: what has no SVID is not asked for again before. */
#define TDL_SVID_RETRY (2 * HZ)
/* In jiffies: of an identity whose processes have all ended, as far as we know of them. */
#define TDL_SVID_IDLE (60 * HZ)

static DEFINE_SPINLOCK(tdl_svids_lock);
static DEFINE_HASHTABLE(tdl_svids_by_who, 8);
static DEFINE_HASHTABLE(tdl_svids_by_number, 8);
static LIST_HEAD(tdl_svids_all);
static LIST_HEAD(tdl_svids_unsent);
static u32 tdl_svids_size;
static u16 tdl_svids_shares[TDL_SHARES];
static u32 tdl_svids_seed;

static void tdl_svid_whose(struct tdl_svid_who *who, const struct tdl_key *key,
			   const struct tdl_process *process, u32 scope)
{
	BUILD_BUG_ON(offsetof(struct tdl_key, local) != sizeof(who->words));
	memset(who, 0, sizeof(*who));
	who->scope = scope;
	if (scope == TDL_SCOPE_WORKLOAD) {
		memcpy(who->words, key, sizeof(who->words));
	} else {
		who->words[0] = process->started;
		who->words[1] = process->tgid;
	}
}

static u32 tdl_svid_hash(const struct tdl_svid_who *who, const struct tdl_terms *terms)
{
	return jhash2((const u32 *)who, sizeof(*who) / sizeof(u32),
		      jhash(terms->bytes, terms->own_len, tdl_svids_seed));
}

/* With the lock held. With a reference; NULL when there is none. */
static struct tdl_svid *tdl_svid_find(const struct tdl_svid_who *who,
				      const struct tdl_terms *terms)
{
	struct tdl_svid *svid;

	hash_for_each_possible(tdl_svids_by_who, svid, by_who, tdl_svid_hash(who, terms)) {
		if (!memcmp(&svid->who, who, sizeof(*who)) &&
		    tdl_terms_are_of_one(svid->terms, terms)) {
			refcount_inc(&svid->refs);
			return svid;
		}
	}
	return NULL;
}

void tdl_svid_put(struct tdl_svid *svid)
{
	if (refcount_dec_and_test(&svid->refs))
		tdl_svid_bury(svid);
}

/* With the lock held: there is no request any more. */
static void tdl_svid_answered(struct tdl_svid *svid)
{
	svid->asked = false;
	svid->number = 0;
	hash_del(&svid->by_number);
	list_del_init(&svid->unsent);
}

/* With the lock held. */
static void tdl_svid_ask(struct tdl_svid *svid)
{
	svid->asked = true;
	svid->since = get_jiffies_64();
	list_add_tail(&svid->unsent, &tdl_svids_unsent);
	if (svid->state != TDL_SVID_HELD)
		svid->state = TDL_SVID_WANTED;
}

/* With the lock held: whether it is past its time, and if so there is none. */
static bool tdl_svid_expires(struct tdl_svid *svid, u64 now)
{
	if (svid->state != TDL_SVID_HELD || now < svid->until)
		return false;
	svid->state = svid->asked ? TDL_SVID_WANTED : TDL_SVID_REFUSED;
	svid->reason = TDL_REASON_NO_SVID;
	return true;
}

/* With the lock held: whether it is to be asked for now. */
static bool tdl_svid_is_wanted(const struct tdl_svid *svid, u64 now)
{
	if (svid->asked || time_before64(get_jiffies_64(), svid->retry))
		return false;
	return svid->state != TDL_SVID_HELD || now >= svid->renew;
}

/* With the lock held. */
static bool tdl_svids_are_full(u32 share)
{
	return tdl_svids_size >= TDL_SVIDS_MAX || tdl_svids_shares[share] >= TDL_SVIDS_SHARE_MAX;
}

/* With the lock held. The table has a reference of its own. */
static void tdl_svid_publish(struct tdl_svid *svid)
{
	hash_add(tdl_svids_by_who, &svid->by_who, tdl_svid_hash(&svid->who, svid->terms));
	list_add_tail(&svid->all, &tdl_svids_all);
	tdl_svids_shares[svid->share]++;
	tdl_svids_size++;
	refcount_inc(&svid->refs);
}

/* With the lock held. The table's reference is the caller's. */
static void tdl_svid_withdraw(struct tdl_svid *svid)
{
	tdl_svid_answered(svid);
	hash_del(&svid->by_who);
	list_del_init(&svid->all);
	tdl_svids_shares[svid->share]--;
	tdl_svids_size--;
}

static struct tdl_svid *tdl_svid_alloc(const struct tdl_svid_who *who, u32 share,
				       struct tdl_terms *terms)
{
	struct tdl_svid *svid = kzalloc(sizeof(*svid), GFP_KERNEL_ACCOUNT);

	if (!svid)
		return NULL;
	refcount_set(&svid->refs, 1);
	svid->who = *who;
	svid->share = share;
	svid->terms = tdl_terms_get(terms);
	svid->state = TDL_SVID_REFUSED;
	INIT_LIST_HEAD(&svid->all);
	INIT_LIST_HEAD(&svid->unsent);
	INIT_LIST_HEAD(&svid->due);
	return svid;
}

/*
 * With the lock held. The one of who it is, with a reference; NULL when there is none, or when it
 * has to be asked for and there is nobody to ask for it. Takes the asker's reference when it does.
 */
static struct tdl_svid *tdl_svid_use(const struct tdl_svid_who *who,
				     const struct tdl_terms *terms, struct tdl_asker **asker)
{
	struct tdl_svid *svid = tdl_svid_find(who, terms);
	u64 now = ktime_get_real_seconds();

	if (!svid)
		return NULL;
	tdl_svid_expires(svid, now);
	svid->used = get_jiffies_64();
	if (!tdl_svid_is_wanted(svid, now))
		return svid;
	if (!*asker) {
		/* The table has one. */
		refcount_dec(&svid->refs);
		return NULL;
	}
	swap(svid->asker, *asker);
	tdl_svid_ask(svid);
	return svid;
}

static struct tdl_svid *tdl_svid_make(const struct tdl_svid_who *who, struct tdl_terms *terms,
				      struct tdl_asker **asker)
{
	u32 share = tdl_ident_share(&(*asker)->key);
	struct tdl_svid *svid = tdl_svid_alloc(who, share, terms), *other;
	bool full = false;

	if (!svid)
		return ERR_PTR(-ENOMEM);
	spin_lock_bh(&tdl_svids_lock);
	other = tdl_svid_use(who, terms, asker);
	if (!other)
		full = tdl_svids_are_full(share);
	if (!other && !full) {
		svid->used = get_jiffies_64();
		swap(svid->asker, *asker);
		tdl_svid_publish(svid);
		tdl_svid_ask(svid);
	}
	spin_unlock_bh(&tdl_svids_lock);
	if (!other && !full)
		return svid;
	tdl_svid_put(svid);
	return other ? other : ERR_PTR(-ENOBUFS);
}

/*
 * The SVID that the verdict of c says who asks has, with a reference; it is asked for when there is
 * none, or it is time. By the asker, or, where that is NULL, by the task that calls. Sleeps.
 * -ENOBUFS when there are too many.
 */
struct tdl_svid *tdl_svid_open(const struct tdl_case *c, const struct tdl_key *key,
			       struct tdl_asker *asker)
{
	struct tdl_terms *terms = c->verdict.terms;
	struct tdl_asker *none = NULL;
	struct tdl_svid_who who;
	struct tdl_svid *svid;

	tdl_svid_whose(&who, key, &c->process, terms->scope);
	spin_lock_bh(&tdl_svids_lock);
	svid = tdl_svid_use(&who, terms, &none);
	spin_unlock_bh(&tdl_svids_lock);
	if (svid)
		return svid;

	if (asker)
		tdl_asker_get(asker);
	else
		asker = tdl_asker_new(key, &c->process, &c->local, &c->remote);
	if (!asker)
		return ERR_PTR(-ENOMEM);
	svid = tdl_svid_make(&who, terms, &asker);
	/* The one before, or ours when another was first. */
	if (asker)
		tdl_asker_put(asker);
	tdl_svids_arm();
	tdl_session_feed();
	return svid;
}

/* For a daemon that knows of none yet. */
void tdl_svids_send_again(void)
{
	struct tdl_svid *svid;

	spin_lock_bh(&tdl_svids_lock);
	list_for_each_entry(svid, &tdl_svids_all, all) {
		if (svid->asked && list_empty(&svid->unsent))
			list_add_tail(&svid->unsent, &tdl_svids_unsent);
	}
	spin_unlock_bh(&tdl_svids_lock);
}

/* The next one whose request is to be sent, with a reference; NULL when all are. */
struct tdl_svid *tdl_svids_next(void)
{
	struct tdl_svid *svid;

	spin_lock_bh(&tdl_svids_lock);
	svid = list_first_entry_or_null(&tdl_svids_unsent, struct tdl_svid, unsent);
	if (svid) {
		list_del_init(&svid->unsent);
		refcount_inc(&svid->refs);
	}
	spin_unlock_bh(&tdl_svids_lock);
	return svid;
}

/* A request was made under this number, in place of the one before. */
void tdl_svid_sent(struct tdl_svid *svid, u64 number)
{
	spin_lock_bh(&tdl_svids_lock);
	hash_del(&svid->by_number);
	/* Else its process has ended meanwhile. */
	if (svid->asked) {
		svid->number = number;
		hash_add(tdl_svids_by_number, &svid->by_number, number);
	}
	spin_unlock_bh(&tdl_svids_lock);
}

/* The engine has an identity for it. */
void tdl_svid_held(struct tdl_svid *svid, u64 until, u64 renew)
{
	spin_lock_bh(&tdl_svids_lock);
	tdl_svid_answered(svid);
	svid->state = TDL_SVID_HELD;
	svid->issued++;
	svid->retry = 0;
	svid->until = until;
	svid->renew = renew;
	spin_unlock_bh(&tdl_svids_lock);
}

/* With the lock held. What there is stays as it is. */
static void tdl_svid_refuse(struct tdl_svid *svid, u32 reason)
{
	tdl_svid_answered(svid);
	svid->retry = get_jiffies_64() + TDL_SVID_RETRY;
	svid->reason = reason;
	if (svid->state != TDL_SVID_HELD)
		svid->state = TDL_SVID_REFUSED;
}

void tdl_svid_refused(struct tdl_svid *svid, u32 reason)
{
	spin_lock_bh(&tdl_svids_lock);
	tdl_svid_refuse(svid, reason);
	spin_unlock_bh(&tdl_svids_lock);
}

/* With a reference; NULL when nobody waits for that. */
struct tdl_svid *tdl_svid_by_number(u64 number)
{
	struct tdl_svid *svid, *found = NULL;

	spin_lock_bh(&tdl_svids_lock);
	hash_for_each_possible(tdl_svids_by_number, svid, by_number, number) {
		if (svid->number == number) {
			refcount_inc(&svid->refs);
			found = svid;
			break;
		}
	}
	spin_unlock_bh(&tdl_svids_lock);
	return found;
}

/* Who made it be asked for, with a reference. */
struct tdl_asker *tdl_svid_asker(struct tdl_svid *svid)
{
	struct tdl_asker *asker;

	spin_lock_bh(&tdl_svids_lock);
	asker = tdl_asker_get(svid->asker);
	spin_unlock_bh(&tdl_svids_lock);
	return asker;
}

/* With the lock held: whether nobody can use it any more. */
static bool tdl_svid_has_ended(const struct tdl_svid *svid)
{
	if (tdl_asker_lives(svid->asker))
		return false;
	return svid->who.scope != TDL_SCOPE_WORKLOAD ||
	       time_after64(get_jiffies_64(), svid->used + TDL_SVID_IDLE);
}

/* With the lock held: does what time demands, and says what is left to the engine. */
static enum tdl_svid_due tdl_svid_sweep(struct tdl_svid *svid, u64 now, u64 patience)
{
	if (tdl_svid_has_ended(svid)) {
		tdl_svid_withdraw(svid);
		return TDL_SVID_ENDED;
	}
	if (svid->asked && time_after64(get_jiffies_64(), svid->since + patience)) {
		tdl_svid_refuse(svid, TDL_REASON_TIMEOUT);
		return TDL_SVID_LATE;
	}
	if (tdl_svid_expires(svid, now))
		return TDL_SVID_EXPIRED;
	/* Before anybody needs it. What is not held is asked for by who does. */
	if (svid->state == TDL_SVID_HELD && tdl_svid_is_wanted(svid, now))
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

	spin_lock_bh(&tdl_svids_lock);
	list_for_each_entry_safe(svid, next, &tdl_svids_all, all) {
		svid->why = tdl_svid_sweep(svid, now, patience);
		if (svid->why == TDL_SVID_RESTS)
			continue;
		/* Of one that has ended it is the table's. */
		if (svid->why != TDL_SVID_ENDED)
			refcount_inc(&svid->refs);
		list_add_tail(&svid->due, due);
	}
	any = tdl_svids_size;
	spin_unlock_bh(&tdl_svids_lock);
	return any;
}

/* Each with the table's reference. */
void tdl_svids_take_all(struct list_head *due)
{
	struct tdl_svid *svid, *next;

	spin_lock_bh(&tdl_svids_lock);
	list_for_each_entry_safe(svid, next, &tdl_svids_all, all) {
		svid->why = TDL_SVID_ENDED;
		tdl_svid_withdraw(svid);
		list_add_tail(&svid->due, due);
	}
	spin_unlock_bh(&tdl_svids_lock);
}

void tdl_svids_visit(void (*visit)(const struct tdl_svid *svid, void *data), void *data)
{
	struct tdl_svid *svid;

	spin_lock_bh(&tdl_svids_lock);
	list_for_each_entry(svid, &tdl_svids_all, all)
		visit(svid, data);
	spin_unlock_bh(&tdl_svids_lock);
}

void tdl_svids_init(void)
{
	/* Not to be guessed. */
	tdl_svids_seed = get_random_u32();
}

/* Nobody opens one any more, and nobody has the device open. */
void tdl_svids_exit(void)
{
	tdl_svids_work_exit();
}
