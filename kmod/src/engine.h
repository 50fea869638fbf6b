/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine: the one place where the Rust core runs. See engine.c.
 */
#ifndef TIDELOCK_ENGINE_H
#define TIDELOCK_ENGINE_H

#include <linux/types.h>
#include <linux/workqueue.h>

#include "tidelock_core.h"

struct tdl_terms;

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
bool tdl_engine_queue_later(struct delayed_work *work, unsigned long delay);
void tdl_engine_do(void (*act)(void *data), void *data);
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
ssize_t tdl_engine_sign(u64 id, const struct tdl_ask_facts *facts, const struct tdl_terms *terms,
			u8 *out, size_t cap, struct tdl_key_waiting **key);
ssize_t tdl_engine_certify(struct tdl_key_waiting *key, const u8 *in, size_t in_len,
			   struct tdl_identity **identity, u64 *until);
ssize_t tdl_engine_trust(struct tdl_trust *old, const u8 *in, size_t in_len,
			 u8 *out, size_t cap, struct tdl_trust **new);
ssize_t tdl_engine_shake(u32 direction, struct tdl_identity *identity, struct tdl_trust *trust,
			 const struct tdl_terms *terms, struct tdl_tls **tls);
ssize_t tdl_engine_receive(struct tdl_tls *tls, const u8 *in, size_t in_len);
ssize_t tdl_engine_output(struct tdl_tls *tls, u8 *out, size_t cap);
ssize_t tdl_engine_records(struct tdl_tls *tls, struct tdl_records *records);
void tdl_engine_free(enum tdl_held_kind kind, void *what);

/* Only below a call into the core. */
bool tdl_engine_is_here(void);

#endif /* TIDELOCK_ENGINE_H */
