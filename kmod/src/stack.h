/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A private stack for the Rust core, which needs more than a kernel stack has.
 */
#ifndef TIDELOCK_STACK_H
#define TIDELOCK_STACK_H

#include <linux/types.h>

struct tdl_core_call;

/*
 * The top of a private stack. The shape is known to the assembly in stack_x86.c and its size
 * is a multiple of 16, so that the frames below it are aligned as the ABI wants.
 */
struct tdl_stack_slot {
	unsigned long sp;		/* the task's own stack pointer */
	unsigned long bp;		/* the task's own frame pointer */
	struct tdl_core_call *call;	/* what to do on this stack */
	unsigned long abandoned;	/* left by tdl_stack_abandon() */
};

struct tdl_stack {
	u8 *base;
	struct tdl_stack_slot *slot;
};

int tdl_stack_init(struct tdl_stack *stack);
void tdl_stack_exit(struct tdl_stack *stack);
bool tdl_stack_holds(const struct tdl_stack *stack, const void *p);
size_t tdl_stack_clean(struct tdl_stack *stack);

bool tdl_stack_enter(struct tdl_stack *stack, struct tdl_core_call *call);
void tdl_stack_abandon(struct tdl_stack *stack);

#endif /* TIDELOCK_STACK_H */
