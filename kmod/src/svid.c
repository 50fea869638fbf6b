// SPDX-License-Identifier: GPL-2.0-only
/*
 * The SVIDs of the processes of this machine, and those that are asked for.
 *
 * One for each process, or for all processes of one identity where the verdict says so, and each
 * SPIFFE ID. Asked for when a verdict first needs it; renewed from half of its life on, as long as
 * who asked for it lives and is who it was; gone within a second when its process has ended, or a
 * minute after the last use of one that many may share (svid_work.c). A renewal changes nothing
 * until its answer is there. What was refused, or had no answer in time, is asked for again
 * after a while that grows. When there are too many, who has most loses what was used least.
 *
 * Here is the table, and how one comes into it; svid_life.c has what becomes of one, svid_view.c
 * what is seen. One spinlock holds the table, as innermost as that of the questions: nothing is
 * done under it but that. Keys and identities are the core's, and only the engine touches them.
 *
 * References: one of the table, one of each who has opened it, one of each list of the engine's.
 */
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "asker.h"
#include "decide.h"
#include "policy.h"
#include "session.h"
#include "svid.h"
#include "svid_table.h"
#include "terms.h"

#define TDL_SVIDS_MAX 4096
/* More than this of one share: it makes room for itself. */
#define TDL_SVIDS_SHARE_MAX 512

struct tdl_svids tdl_svids;
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
				      const struct tdl_terms *terms, u32 hash)
{
	struct tdl_svid *svid;

	hash_for_each_possible(tdl_svids.by_who, svid, by_who, hash) {
		if (svid->hash == hash && !memcmp(&svid->who, who, sizeof(*who)) &&
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

/* With the lock held. The table has a reference of its own. */
static void tdl_svid_publish(struct tdl_svid *svid)
{
	hash_add(tdl_svids.by_who, &svid->by_who, svid->hash);
	list_add_tail(&svid->all, &tdl_svids.all);
	tdl_svids.shares[svid->share]++;
	tdl_svids.size++;
	refcount_inc(&svid->refs);
}

static u32 tdl_svids_largest_share(void)
{
	u32 share, largest = 0;

	for (share = 1; share < TDL_SHARES; share++)
		if (tdl_svids.shares[share] > tdl_svids.shares[largest])
			largest = share;
	return largest;
}

/* Whether a is missed less than b: what is none, and then what was not used for longer. */
static bool tdl_svid_is_lesser(const struct tdl_svid *a, const struct tdl_svid *b)
{
	bool a_is_none = a->state == TDL_SVID_REFUSED;
	bool b_is_none = b->state == TDL_SVID_REFUSED;

	return a_is_none == b_is_none ? time_before64(a->used, b->used) : a_is_none;
}

/*
 * With the lock held: takes out what has to go for another of this share, with the table's
 * reference; NULL when there is room.
 */
static struct tdl_svid *tdl_svids_make_room(u32 share)
{
	struct tdl_svid *svid, *victim = NULL;

	if (tdl_svids.shares[share] < TDL_SVIDS_SHARE_MAX) {
		if (tdl_svids.size < TDL_SVIDS_MAX)
			return NULL;
		share = tdl_svids_largest_share();
	}
	list_for_each_entry(svid, &tdl_svids.all, all) {
		if (svid->share == share && (!victim || tdl_svid_is_lesser(svid, victim)))
			victim = svid;
	}
	tdl_svid_withdraw(victim, TDL_REASON_OVERFLOW);
	return victim;
}

static struct tdl_svid *tdl_svid_alloc(const struct tdl_svid_who *who, u32 share, u32 hash,
				       const struct tdl_terms *terms)
{
	struct tdl_svid *svid = kzalloc(sizeof(*svid), GFP_KERNEL_ACCOUNT);

	if (!svid)
		return NULL;
	svid->terms = tdl_terms_own(terms);
	if (!svid->terms) {
		kfree(svid);
		return NULL;
	}
	refcount_set(&svid->refs, 1);
	svid->who = *who;
	svid->share = share;
	svid->hash = hash;
	svid->state = TDL_SVID_REFUSED;
	INIT_LIST_HEAD(&svid->all);
	INIT_LIST_HEAD(&svid->unsent);
	INIT_LIST_HEAD(&svid->watches);
	INIT_LIST_HEAD(&svid->due);
	return svid;
}

/* The one there is, with a reference, and whether it lacks something: an answer, or an asker. */
static struct tdl_svid *tdl_svid_use(const struct tdl_svid_who *who, const struct tdl_terms *terms,
				     u32 hash, const struct tdl_key *key, bool *lacks)
{
	u64 now = ktime_get_real_seconds();
	struct tdl_svid *svid;

	spin_lock_bh(&tdl_svids.lock);
	svid = tdl_svid_find(who, terms, hash);
	if (svid) {
		svid->used = get_jiffies_64();
		tdl_svid_expires(svid, now);
		*lacks = tdl_svid_is_wanted(svid, now) || !tdl_asker_fits(svid->asker, key);
	}
	spin_unlock_bh(&tdl_svids.lock);
	return svid;
}

/*
 * Puts a new one into the table, or finds another there; it is asked for where it is wanted, by
 * this asker, who takes the place of the one before. Takes over both references that it is given,
 * and returns one of what is in the table.
 */
static struct tdl_svid *tdl_svid_enter(struct tdl_svid *new, struct tdl_asker *asker)
{
	struct tdl_svid *svid, *victim = NULL;
	u64 now = ktime_get_real_seconds();

	spin_lock_bh(&tdl_svids.lock);
	svid = tdl_svid_find(&new->who, new->terms, new->hash);
	if (!svid) {
		victim = tdl_svids_make_room(new->share);
		tdl_svid_publish(new);
		swap(svid, new);
	}
	svid->used = get_jiffies_64();
	swap(svid->asker, asker);
	tdl_svid_expires(svid, now);
	if (tdl_svid_is_wanted(svid, now))
		tdl_svid_ask(svid);
	spin_unlock_bh(&tdl_svids.lock);
	if (new)
		tdl_svid_put(new);
	if (victim)
		tdl_svid_put(victim);
	if (asker)
		tdl_asker_put(asker);
	return svid;
}

/*
 * The SVID that the verdict of c says who asks has, with a reference; it is asked for when there is
 * none, or it is time. By the asker, or, where that is NULL, by the task that calls. Sleeps.
 */
struct tdl_svid *tdl_svid_open(const struct tdl_case *c, const struct tdl_key *key,
			       struct tdl_asker *asker)
{
	const struct tdl_terms *terms = c->verdict.terms;
	struct tdl_svid *svid, *new;
	struct tdl_svid_who who;
	bool lacks = false;
	u32 hash;

	tdl_svid_whose(&who, key, &c->process, terms->scope);
	hash = tdl_svid_hash(&who, terms);
	svid = tdl_svid_use(&who, terms, hash, key, &lacks);
	if (svid && !lacks)
		return svid;

	new = tdl_svid_alloc(&who, tdl_ident_share(key), hash, terms);
	if (asker)
		tdl_asker_get(asker);
	else
		asker = tdl_asker_new(key, &c->process, &c->local, &c->remote);
	if (new && asker) {
		if (svid)
			tdl_svid_put(svid);
		svid = tdl_svid_enter(new, asker);
		tdl_svids_arm();
		tdl_session_feed();
		return svid;
	}
	/* What there is can still be used. */
	if (asker)
		tdl_asker_put(asker);
	if (new)
		tdl_svid_put(new);
	return svid ? svid : ERR_PTR(-ENOMEM);
}

void tdl_svids_init(void)
{
	spin_lock_init(&tdl_svids.lock);
	hash_init(tdl_svids.by_who);
	hash_init(tdl_svids.by_number);
	INIT_LIST_HEAD(&tdl_svids.all);
	INIT_LIST_HEAD(&tdl_svids.unsent);
	/* Not to be guessed. */
	tdl_svids_seed = get_random_u32();
}

/* Nobody opens one any more, and nobody has the device open. */
void tdl_svids_exit(void)
{
	tdl_svids_work_exit();
}
