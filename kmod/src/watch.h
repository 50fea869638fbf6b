/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is to happen when something that is waited for is there.
 */
#ifndef TIDELOCK_WATCH_H
#define TIDELOCK_WATCH_H

#include <linux/list.h>

/* fire() is called once, with locks held. */
struct tdl_watch {
	struct list_head node;
	void (*fire)(struct tdl_watch *watch);
};

/* With the lock of the list held: each fires, and none is in it. */
static inline void tdl_watches_fire(struct list_head *watches)
{
	struct tdl_watch *watch, *next;

	list_for_each_entry_safe(watch, next, watches, node) {
		list_del_init(&watch->node);
		watch->fire(watch);
	}
}

#endif /* TIDELOCK_WATCH_H */
