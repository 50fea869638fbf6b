// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a verdict for mTLS says: who the process is, and with whom it may speak. Bytes that the core
 * has checked and will read again; here they are compared, and the SPIFFE ID in them is shown.
 *
 * They are kept with each verdict. A policy gives many processes the same, which are one here; and
 * all of them together are bounded.
 */
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "terms.h"
#include "tidelock_core.h"

/* In bytes. Most are a hundred, a few are twelve thousand. */
#define TDL_TERMS_MAX (32L << 20)

/* Before the SPIFFE ID: the scope, and its length in 16 bits (tidelock_wire::Terms::own_len). */
#define TDL_TERMS_ID 3

/* The innermost of all, taken in any context. */
static DEFINE_SPINLOCK(tdl_terms_lock);
static DEFINE_HASHTABLE(tdl_terms_table, 8);
static long tdl_terms_bytes;		/* under the lock */
static u32 tdl_terms_seed;

void tdl_terms_init(void)
{
	/* Not to be guessed. */
	tdl_terms_seed = get_random_u32();
}

/* With the lock held: the same, with a reference; NULL when there are none. */
static struct tdl_terms *tdl_terms_find(const struct tdl_terms *like)
{
	struct tdl_terms *terms;

	hash_for_each_possible(tdl_terms_table, terms, node, like->hash) {
		if (terms->len == like->len && terms->own_len == like->own_len &&
		    !memcmp(terms->bytes, like->bytes, like->len) &&
		    refcount_inc_not_zero(&terms->refs))
			return terms;
	}
	return NULL;
}

/* Of these bytes, with a reference; NULL when there is no room. Sleeps. */
static struct tdl_terms *tdl_terms_make(u32 scope, const u8 *bytes, u32 len, u32 own_len)
{
	struct tdl_terms *terms = kmalloc(sizeof(*terms) + len, GFP_KERNEL), *same;
	bool full = false;

	if (!terms)
		return NULL;
	refcount_set(&terms->refs, 1);
	terms->scope = scope;
	terms->len = len;
	terms->own_len = own_len;
	memcpy(terms->bytes, bytes, len);
	terms->hash = jhash(bytes, len, tdl_terms_seed);

	spin_lock_bh(&tdl_terms_lock);
	same = tdl_terms_find(terms);
	if (!same) {
		full = tdl_terms_bytes + len > TDL_TERMS_MAX;
		if (!full) {
			tdl_terms_bytes += len;
			hash_add(tdl_terms_table, &terms->node, terms->hash);
		}
	}
	spin_unlock_bh(&tdl_terms_lock);
	if (!same && !full)
		return terms;
	kfree(terms);
	return same;
}

/* Those of a verdict in this frame, with a reference; NULL when there is no room. Sleeps. */
struct tdl_terms *tdl_terms_new(const struct tdl_order *order, const u8 *in, size_t in_len)
{
	/* The core has read them there; it is believed as far as they fit. */
	if (order->terms_len > in_len || order->own_len > order->terms_len ||
	    order->own_len < TDL_TERMS_ID)
		return NULL;
	return tdl_terms_make(order->scope, in + in_len - order->terms_len, order->terms_len,
			      order->own_len);
}

/* What they say of the process alone, with a reference; NULL when there is no room. Sleeps. */
struct tdl_terms *tdl_terms_own(const struct tdl_terms *terms)
{
	return tdl_terms_make(terms->scope, terms->bytes, terms->own_len, terms->own_len);
}

/* NULL stays it. */
struct tdl_terms *tdl_terms_get(struct tdl_terms *terms)
{
	if (terms)
		refcount_inc(&terms->refs);
	return terms;
}

/* Under RCU, for who has found them and has no reference: whether he has one now. */
bool tdl_terms_hold(struct tdl_terms *terms)
{
	return !terms || refcount_inc_not_zero(&terms->refs);
}

/* In any context. */
void tdl_terms_put(struct tdl_terms *terms)
{
	if (!terms || !refcount_dec_and_test(&terms->refs))
		return;
	spin_lock_bh(&tdl_terms_lock);
	hash_del(&terms->node);
	tdl_terms_bytes -= terms->len;
	spin_unlock_bh(&tdl_terms_lock);
	kfree_rcu(terms, rcu);
}

/* Whether both say that the process is the same. */
bool tdl_terms_are_of_one(const struct tdl_terms *a, const struct tdl_terms *b)
{
	return a->own_len == b->own_len && !memcmp(a->bytes, b->bytes, a->own_len);
}

/* The SPIFFE ID of the process, for people: its length, and where it begins. */
int tdl_terms_id(const struct tdl_terms *terms, const char **id)
{
	*id = (const char *)terms->bytes + TDL_TERMS_ID;
	return terms->own_len - TDL_TERMS_ID;
}
