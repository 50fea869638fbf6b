/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of SVIDs, for svid.c, svid_life.c, svid_view.c and svid_work.c alone.
 */
#ifndef TIDELOCK_SVID_TABLE_H
#define TIDELOCK_SVID_TABLE_H

#include <linux/hashtable.h>
#include <linux/spinlock.h>

#include "svid.h"

struct tdl_svids {
	/* Of all that follows, and of what struct tdl_svid says. */
	spinlock_t lock;
	DECLARE_HASHTABLE(by_who, 8);
	DECLARE_HASHTABLE(by_number, 8);
	struct list_head all;
	struct list_head unsent;
	u32 size;
	u16 shares[TDL_SHARES];
};

extern struct tdl_svids tdl_svids;

/* With the lock held. */
void tdl_svid_ask(struct tdl_svid *svid);
void tdl_svid_withdraw(struct tdl_svid *svid, u32 reason);
bool tdl_svid_expires(struct tdl_svid *svid, u64 now);
bool tdl_svid_is_wanted(const struct tdl_svid *svid, u64 now);

/* All of these take it. */
void tdl_svid_sent(struct tdl_svid *svid, u64 number);
void tdl_svid_held(struct tdl_svid *svid, u64 from, u64 renew, u64 until);
void tdl_svid_refused(struct tdl_svid *svid, u32 reason);
struct tdl_svid *tdl_svid_by_number(u64 number);
struct tdl_asker *tdl_svid_asker(struct tdl_svid *svid);
bool tdl_svids_sweep(struct list_head *due);
void tdl_svids_take_all(struct list_head *due);

/* In svid_work.c. */
void tdl_svids_arm(void);
void tdl_svid_bury(struct tdl_svid *svid);
void tdl_svids_work_exit(void);

#endif /* TIDELOCK_SVID_TABLE_H */
