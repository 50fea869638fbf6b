// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a verdict for mTLS says: who the process is, and with whom it may speak. Bytes that the core
 * has checked and will read again; here they are compared, and the SPIFFE ID in them is shown.
 *
 * Kept with the verdict, so all of them together are bounded.
 */
#include <linux/atomic.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "terms.h"
#include "tidelock_core.h"

/* In bytes. Most are a hundred, a few are twelve thousand. */
#define TDL_TERMS_MAX (32L << 20)

/* Before the SPIFFE ID: the scope, and its length in 16 bits (tidelock_wire::Terms::own_len). */
#define TDL_TERMS_ID 3

static atomic_long_t tdl_terms_bytes;

/* Those of a verdict in this frame, with a reference; NULL when there is no room. Sleeps. */
struct tdl_terms *tdl_terms_new(const struct tdl_order *order, const u8 *in, size_t in_len)
{
	struct tdl_terms *terms;

	/* The core has read them there; it is believed as far as they fit. */
	if (order->terms_len > in_len || order->own_len > order->terms_len ||
	    order->own_len < TDL_TERMS_ID)
		return NULL;
	if (atomic_long_add_return(order->terms_len, &tdl_terms_bytes) > TDL_TERMS_MAX)
		goto full;
	terms = kmalloc(sizeof(*terms) + order->terms_len, GFP_KERNEL);
	if (!terms)
		goto full;
	refcount_set(&terms->refs, 1);
	terms->scope = order->scope;
	terms->len = order->terms_len;
	terms->own_len = order->own_len;
	memcpy(terms->bytes, in + in_len - order->terms_len, order->terms_len);
	return terms;
full:
	atomic_long_sub(order->terms_len, &tdl_terms_bytes);
	return NULL;
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
	atomic_long_sub(terms->len, &tdl_terms_bytes);
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
