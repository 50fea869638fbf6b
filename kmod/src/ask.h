/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Questions to the daemon: see ask.c.
 */
#ifndef TIDELOCK_ASK_H
#define TIDELOCK_ASK_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/workqueue.h>

#include "asker.h"
#include "verdict.h"
#include "watch.h"

struct tdl_ask {
	refcount_t refs;
	u64 id;
	u32 share;
	struct tdl_asker *asker;

	/* Under the lock in ask.c. */
	struct hlist_node by_id;
	struct hlist_node by_key;
	struct list_head unsent;
	struct list_head watches;
	bool decided;

	/* Written before done is completed, read after. */
	struct tdl_verdict verdict;
	struct completion done;
	struct delayed_work deadline;
};

int tdl_asks_init(void);
void tdl_asks_end(void);
void tdl_asks_resume(void);
void tdl_asks_exit(void);

struct tdl_ask *tdl_ask_open(const struct tdl_key *key, const struct tdl_process *process,
			     const struct tdl_address *local, const struct tdl_address *remote);
void tdl_ask_put(struct tdl_ask *ask);
bool tdl_ask_is_decided(const struct tdl_ask *ask);
void tdl_ask_watch(struct tdl_ask *ask, struct tdl_watch *watch);
bool tdl_ask_unwatch(struct tdl_watch *watch);
u32 tdl_asks_count(void);

/* For the session. */
void tdl_asks_send_again(void);
struct tdl_ask *tdl_asks_next(void);
void tdl_asks_verdict(const struct tdl_order *order, const u8 *in, size_t in_len);

#endif /* TIDELOCK_ASK_H */
