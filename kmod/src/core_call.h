/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One call into the Rust core, as data.
 */
#ifndef TIDELOCK_CORE_CALL_H
#define TIDELOCK_CORE_CALL_H

#include <linux/linkage.h>
#include <linux/types.h>

#include "tidelock_core.h"

struct tdl_stack_slot;

enum tdl_core_op {
	TDL_CORE_HELLO,		/* hello, to out */
	TDL_CORE_CHECK,		/* of in */
	TDL_CORE_FRAME,		/* in, to out, or to order */
	TDL_CORE_STATUS,	/* id and status, to out */
	TDL_CORE_ASK,		/* id and facts, to out */
	TDL_CORE_STAMP,		/* high_water into out */
	TDL_CORE_SIGN,		/* id, facts and own part of terms, to out and key */
	TDL_CORE_CERTIFY,	/* key and in, to identity and until */
	TDL_CORE_TRUST,		/* trust and in, to out and trust */
	TDL_CORE_FREE,		/* held, which is a kind */
	TDL_CORE_SHAKE,		/* kind, which is a direction, identity, trust, terms, to tls */
	TDL_CORE_RECEIVE,	/* in, to tls */
	TDL_CORE_OUTPUT,	/* of tls, to out */
	TDL_CORE_RECORDS,	/* of tls, to records */
};

struct tdl_terms;

struct tdl_core_call {
	enum tdl_core_op op;
	u64 id;
	const struct tdl_hello *hello;
	const struct tdl_status *status;
	const struct tdl_ask_facts *facts;
	struct tdl_order *order;
	const u8 *in;
	size_t in_len;
	u8 *out;
	size_t out_len;
	const struct tdl_terms *terms;
	struct tdl_key_waiting *key;
	struct tdl_identity *identity;
	struct tdl_trust *trust;
	struct tdl_tls *tls;
	struct tdl_records *records;
	void *held;
	u32 kind;
	u64 until;
	u32 high_water;
	ssize_t result;
};

asmlinkage __visible void tdl_core_entry(struct tdl_stack_slot *slot);

#endif /* TIDELOCK_CORE_CALL_H */
