// SPDX-License-Identifier: GPL-2.0-only
/*
 * SVIDs as they are seen, by who waits for one and by people.
 */
#include <linux/spinlock.h>

#include "asker.h"
#include "svid.h"
#include "svid_table.h"
#include "watch.h"

/* How it is, and, of one that was refused, why. */
enum tdl_svid_state tdl_svid_look(struct tdl_svid *svid, u32 *reason)
{
	enum tdl_svid_state state;

	spin_lock_bh(&tdl_svids.lock);
	state = svid->state;
	*reason = svid->reason;
	spin_unlock_bh(&tdl_svids.lock);
	return state;
}

/* Fires when it is wanted no longer, or at once when it is not. */
void tdl_svid_watch(struct tdl_svid *svid, struct tdl_watch *watch)
{
	spin_lock_bh(&tdl_svids.lock);
	if (svid->state == TDL_SVID_WANTED)
		list_add_tail(&watch->node, &svid->watches);
	else
		watch->fire(watch);
	spin_unlock_bh(&tdl_svids.lock);
}

/* It does not fire after this. */
void tdl_svid_unwatch(struct tdl_watch *watch)
{
	spin_lock_bh(&tdl_svids.lock);
	list_del_init(&watch->node);
	spin_unlock_bh(&tdl_svids.lock);
}

void tdl_svid_view(struct tdl_svid *svid, struct tdl_svid_view *view)
{
	spin_lock_bh(&tdl_svids.lock);
	*view = (struct tdl_svid_view){
		.asker = tdl_asker_get(svid->asker),
		.state = svid->state,
		.asked = svid->asked,
		.reason = svid->reason,
		.issued = svid->issued,
		.until = svid->until,
	};
	spin_unlock_bh(&tdl_svids.lock);
}

struct tdl_svid *tdl_svids_at(loff_t pos)
{
	struct tdl_svid *svid, *found = NULL;

	spin_lock_bh(&tdl_svids.lock);
	list_for_each_entry(svid, &tdl_svids.all, all) {
		if (pos--)
			continue;
		found = svid;
		refcount_inc(&found->refs);
		break;
	}
	spin_unlock_bh(&tdl_svids.lock);
	return found;
}

struct tdl_svid *tdl_svids_after(struct tdl_svid *svid)
{
	struct tdl_svid *next = NULL;

	spin_lock_bh(&tdl_svids.lock);
	/* Else it was taken out. */
	if (!list_empty(&svid->all) && !list_is_last(&svid->all, &tdl_svids.all)) {
		next = list_next_entry(svid, all);
		refcount_inc(&next->refs);
	}
	spin_unlock_bh(&tdl_svids.lock);
	tdl_svid_put(svid);
	return next;
}
