/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a verdict for mTLS says: see terms.c.
 */
#ifndef TIDELOCK_TERMS_H
#define TIDELOCK_TERMS_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/types.h>

struct tdl_order;

/* The first bytes say who the process is; they are alike in all terms where that is. */
struct tdl_terms {
	refcount_t refs;
	struct rcu_head rcu;
	struct hlist_node node;	/* of the same bytes there is one, most often */
	u32 hash;
	u32 scope;		/* TDL_SCOPE_* */
	u32 len;		/* of bytes */
	u32 own_len;		/* of those that say who the process is */
	u8 bytes[];
};

void tdl_terms_init(void);

struct tdl_terms *tdl_terms_new(const struct tdl_order *order, const u8 *in, size_t in_len);
struct tdl_terms *tdl_terms_own(const struct tdl_terms *terms);
struct tdl_terms *tdl_terms_get(struct tdl_terms *terms);
bool tdl_terms_hold(struct tdl_terms *terms);
void tdl_terms_put(struct tdl_terms *terms);

bool tdl_terms_are_of_one(const struct tdl_terms *a, const struct tdl_terms *b);
int tdl_terms_id(const struct tdl_terms *terms, const char **id);

#endif /* TIDELOCK_TERMS_H */
