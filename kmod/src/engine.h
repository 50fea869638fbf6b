/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine: the one place where the Rust core runs. See engine.c.
 */
#ifndef TIDELOCK_ENGINE_H
#define TIDELOCK_ENGINE_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct tdl_ask_facts;
struct tdl_order;
struct tdl_status;

struct tdl_engine_use {
	u64 calls;		/* into the core */
	u64 panics;		/* of it */
	u64 frames_refused;	/* by the device */
	u32 stack_high_water;	/* the most a call has used of the private stack */
};

int tdl_engine_init(void);
void tdl_engine_exit(void);

/* For all. */
bool tdl_engine_queue(struct work_struct *work);
bool tdl_engine_is_dead(void);
void tdl_engine_count_refused(void);
void tdl_engine_use(struct tdl_engine_use *use);

/* Only in work that tdl_engine_queue() was given. */
ssize_t tdl_engine_hello(u8 *out, size_t cap);
ssize_t tdl_engine_check(const u8 *in, size_t len);
ssize_t tdl_engine_frame(const u8 *in, size_t len, u8 *out, size_t cap,
			 struct tdl_order *order);
ssize_t tdl_engine_status(u64 id, const struct tdl_status *status, u8 *out, size_t cap);
ssize_t tdl_engine_ask(u64 id, const struct tdl_ask_facts *facts, u8 *out, size_t cap);

/* Only below a call into the core. */
bool tdl_engine_is_here(void);

#endif /* TIDELOCK_ENGINE_H */
