// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verdicts that are kept for the same identity and the same purpose.
 *
 * Looked up with RCU alone, in process context. Changes are made under one spinlock: there is
 * one for each question to the daemon at most. The oldest entry makes room for the newest.
 *
 * An entry of another generation than the one in force, or past its time, is as good as none;
 * it is taken out when its place is needed, or what its terms take.
 */
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "cache.h"
#include "ident.h"
#include "policy.h"
#include "terms.h"
#include "verdict.h"

#define TDL_CACHE_MAX 16384
/* A share that has this many makes room for itself: it does not push the others' out. */
#define TDL_CACHE_SHARE_MAX 2048

struct tdl_kept {
	struct rhash_head node;
	struct list_head age;		/* under the lock, as the next two */
	struct list_head share_age;
	u32 share;
	struct rcu_head rcu;
	struct tdl_key key;
	struct tdl_verdict verdict;
	u64 expires;			/* in jiffies */
};

static int tdl_kept_is_not(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct tdl_kept *kept = obj;

	return !tdl_ident_is_same(&kept->key, arg->key);
}

static const struct rhashtable_params tdl_cache_params = {
	.head_offset = offsetof(struct tdl_kept, node),
	.key_offset = offsetof(struct tdl_kept, key),
	.key_len = sizeof(struct tdl_key),
	.obj_cmpfn = tdl_kept_is_not,
	.max_size = TDL_CACHE_MAX,
	.automatic_shrinking = true,
};

static struct rhashtable tdl_cache;
static DEFINE_SPINLOCK(tdl_cache_lock);
static LIST_HEAD(tdl_cache_ages);	/* the oldest first */
static u32 tdl_cache_size;		/* under the lock */

/* Under the lock. */
static struct tdl_cache_share {
	struct list_head ages;		/* the oldest first */
	u32 size;
} tdl_cache_shares[TDL_SHARES];

/* What mTLS needs comes with a reference. */
bool tdl_cache_find(const struct tdl_key *key, struct tdl_verdict *verdict)
{
	const struct tdl_kept *kept;
	bool found = false;

	rcu_read_lock();
	kept = rhashtable_lookup(&tdl_cache, key, tdl_cache_params);
	if (kept && time_before64(get_jiffies_64(), kept->expires) &&
	    kept->verdict.generation == tdl_policy_generation() &&
	    tdl_terms_hold(kept->verdict.terms)) {
		*verdict = kept->verdict;
		found = true;
	}
	rcu_read_unlock();
	return found;
}

/* With the lock held. */
static void tdl_cache_drop(struct tdl_kept *kept)
{
	rhashtable_remove_fast(&tdl_cache, &kept->node, tdl_cache_params);
	list_del(&kept->age);
	list_del(&kept->share_age);
	tdl_cache_shares[kept->share].size--;
	tdl_cache_size--;
	tdl_terms_put(kept->verdict.terms);
	kfree_rcu(kept, rcu);
}

/* With the lock held: what has to go for another of this share; NULL when there is room. */
static struct tdl_kept *tdl_cache_oldest(const struct tdl_cache_share *share)
{
	if (share->size >= TDL_CACHE_SHARE_MAX)
		return list_first_entry(&share->ages, struct tdl_kept, share_age);
	if (tdl_cache_size >= TDL_CACHE_MAX)
		return list_first_entry(&tdl_cache_ages, struct tdl_kept, age);
	return NULL;
}

/* With the lock held. Whether it was put in. */
static bool tdl_cache_insert(struct tdl_kept *kept)
{
	struct tdl_cache_share *share = &tdl_cache_shares[kept->share];
	struct tdl_kept *old;

	old = rhashtable_lookup_fast(&tdl_cache, &kept->key, tdl_cache_params);
	if (!old)
		old = tdl_cache_oldest(share);
	if (old)
		tdl_cache_drop(old);
	if (rhashtable_insert_fast(&tdl_cache, &kept->node, tdl_cache_params))
		return false;
	list_add_tail(&kept->age, &tdl_cache_ages);
	list_add_tail(&kept->share_age, &share->ages);
	share->size++;
	tdl_cache_size++;
	return true;
}

/* With the lock held: whether it can be found no more. */
static bool tdl_kept_is_stale(const struct tdl_kept *kept)
{
	return time_after_eq64(get_jiffies_64(), kept->expires) ||
	       kept->verdict.generation != tdl_policy_generation();
}

/*
 * What terms take has reached its bound: lets go of what is of no use any more; at the second
 * try of all of this share, and at the third of everything. Who is let go of asks again.
 */
void tdl_cache_make_room(u32 share, int try)
{
	struct tdl_kept *kept, *next;

	spin_lock(&tdl_cache_lock);
	list_for_each_entry_safe(kept, next, &tdl_cache_ages, age) {
		if (tdl_kept_is_stale(kept) || (try > 0 && kept->share == share) || try > 1)
			tdl_cache_drop(kept);
	}
	spin_unlock(&tdl_cache_lock);
}

/* May sleep. Without memory nothing is kept, and the next one asks again. */
void tdl_cache_keep(const struct tdl_key *key, const struct tdl_verdict *verdict, u32 ttl_ms)
{
	struct tdl_kept *kept;
	bool inserted;

	if (!ttl_ms)
		return;
	kept = kmalloc(sizeof(*kept), GFP_KERNEL);
	if (!kept)
		return;
	kept->share = tdl_ident_share(key);
	kept->key = *key;
	kept->verdict = *verdict;
	tdl_terms_get(verdict->terms);
	kept->expires = get_jiffies_64() + msecs_to_jiffies(ttl_ms);

	spin_lock(&tdl_cache_lock);
	inserted = tdl_cache_insert(kept);
	spin_unlock(&tdl_cache_lock);
	if (!inserted) {
		tdl_terms_put(kept->verdict.terms);
		kfree(kept);
	}
}

void tdl_cache_flush(void)
{
	struct tdl_kept *kept, *next;

	spin_lock(&tdl_cache_lock);
	list_for_each_entry_safe(kept, next, &tdl_cache_ages, age)
		tdl_cache_drop(kept);
	spin_unlock(&tdl_cache_lock);
}

u32 tdl_cache_count(void)
{
	return READ_ONCE(tdl_cache_size);
}

int tdl_cache_init(void)
{
	int i;

	for (i = 0; i < TDL_SHARES; i++)
		INIT_LIST_HEAD(&tdl_cache_shares[i].ages);
	return rhashtable_init(&tdl_cache, &tdl_cache_params);
}

/* Nobody looks or keeps any more. */
void tdl_cache_exit(void)
{
	tdl_cache_flush();
	rhashtable_destroy(&tdl_cache);
}
