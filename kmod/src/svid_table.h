/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between svid.c, which has the table, and svid_work.c, which does what the engine does with it.
 */
#ifndef TIDELOCK_SVID_TABLE_H
#define TIDELOCK_SVID_TABLE_H

#include "svid.h"

/* All of these take the lock. */
void tdl_svid_sent(struct tdl_svid *svid, u64 number);
void tdl_svid_held(struct tdl_svid *svid, u64 until, u64 renew);
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
