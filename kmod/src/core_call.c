// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first function on the private stack: the only place that calls the Rust core.
 *
 * Rust code expects a stack that is aligned to 16 bytes at each call, the kernel's C keeps
 * only 8, so Kbuild compiles this file (its frame lies between the two) with 16.
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/stddef.h>
#include <asm-generic/kprobes.h>

#include "compat.h"
#include "core_call.h"
#include "stack.h"
#include "terms.h"

/* The layout that the core counts on (kmod/core/src/tests/layout.rs). */
static_assert(sizeof(struct tdl_hello) == 24);
static_assert(sizeof(struct tdl_counters) == 96);
static_assert(sizeof(struct tdl_status) == 120);
static_assert(offsetof(struct tdl_status, counters) == 8);
static_assert(offsetof(struct tdl_status, mode) == 104);
static_assert(sizeof(struct tdl_text) == 16);
static_assert(sizeof(struct tdl_address) == 20);
static_assert(offsetof(struct tdl_address, family) == 16);
static_assert(sizeof(struct tdl_ask_facts) == 176);
static_assert(offsetof(struct tdl_ask_facts, local) == 64);
static_assert(offsetof(struct tdl_ask_facts, direction) == 104);
static_assert(offsetof(struct tdl_ask_facts, comm) == 160);
static_assert(sizeof(struct tdl_prefix) == 18);
static_assert(sizeof(struct tdl_order) == 632);
static_assert(offsetof(struct tdl_order, kind) == 16);
static_assert(offsetof(struct tdl_order, exempt) == 56);
static_assert(sizeof(struct tdl_traffic) == 56);
static_assert(sizeof(struct tdl_records) == 2184);
static_assert(offsetof(struct tdl_records, peer) == 136);

static __always_inline ssize_t tdl_core_dispatch(struct tdl_core_call *call)
{
	switch (call->op) {
	case TDL_CORE_HELLO:
		return tdl_core_hello(call->hello, call->out, call->out_len);
	case TDL_CORE_CHECK:
		return tdl_core_check(call->in, call->in_len);
	case TDL_CORE_FRAME:
		return tdl_core_frame(call->in, call->in_len, call->out, call->out_len,
				      call->order);
	case TDL_CORE_STATUS:
		return tdl_core_status(call->id, call->status, call->out, call->out_len);
	case TDL_CORE_ASK:
		return tdl_core_ask(call->id, call->facts, call->out, call->out_len);
	case TDL_CORE_STAMP:
		return tdl_core_stamp(call->out, call->out_len, TDL_CORE_STACK,
				      call->high_water);
	case TDL_CORE_SIGN:
		return tdl_core_sign(call->id, call->facts, call->terms->bytes,
				     call->terms->own_len, call->out, call->out_len, &call->key);
	case TDL_CORE_CERTIFY:
		return tdl_core_certify(call->key, call->in, call->in_len, &call->identity,
					&call->until);
	case TDL_CORE_TRUST:
		return tdl_core_trust(call->trust, call->in, call->in_len, call->out,
				      call->out_len, &call->trust);
	case TDL_CORE_FREE:
		return tdl_core_free(call->kind, call->held);
	case TDL_CORE_SHAKE:
		return tdl_core_shake(call->kind, call->identity, call->trust,
				      call->terms->bytes, call->terms->len, &call->tls);
	case TDL_CORE_RECEIVE:
		return tdl_core_receive(call->tls, call->in, call->in_len);
	case TDL_CORE_OUTPUT:
		return tdl_core_output(call->tls, call->out, call->out_len);
	case TDL_CORE_RECORDS:
		return tdl_core_records(call->tls, call->records);
	}
	return -EINVAL;
}

/* May be left by tdl_stack_abandon() instead of returning: see the rules in stack_x86.c. */
asmlinkage __visible noinline notrace __no_sanitize_address
void tdl_core_entry(struct tdl_stack_slot *slot)
{
	slot->call->result = tdl_core_dispatch(slot->call);
}

NOKPROBE_SYMBOL(tdl_core_entry);
