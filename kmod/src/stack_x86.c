// SPDX-License-Identifier: GPL-2.0-only
/*
 * Onto a private stack and back, for x86-64.
 *
 * The way in has the shape of the kernel's own switch to the interrupt stack, which objtool
 * knows: store the old stack pointer at the top of the new stack, load the new one, call one
 * named function, pop the old one.
 *
 * The way back after a panic does what the return of that function would have done: it loads
 * the address of the call's return address and returns. Everything between is left behind,
 * never unwound. This is sound because
 *
 *  - all registers that a C function may expect to survive are either declared as clobbered
 *    by the call, so the compiler has saved them on the task's own stack, or (the frame
 *    pointer, which cannot be declared) kept in the slot;
 *  - the frames left behind are tdl_core_entry(), Rust frames and tdl_core_panicked().
 *    No function of the kernel is among them, so no lock, no reference and no wait queue
 *    entry can be held by one, and none of the three is ever traced or probed, so neither
 *    the function graph tracer nor a kretprobe expects them to return;
 *  - none of them is instrumented by KASAN, so they leave no poison on the stack;
 *  - the task is the same before and after: preemption, credentials, current are untouched.
 */
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <asm-generic/kprobes.h>
#include <asm/asm.h>
#include <asm/linkage.h>

#include "compat.h"
#include "core_call.h"
#include "stack.h"

/*
 * Runs @call on @stack. True when the call was abandoned. The caller makes sure that nobody
 * else uses the stack, and holds no lock.
 */
noinline __noclone notrace bool tdl_stack_enter(struct tdl_stack *stack, struct tdl_core_call *call)
{
	struct tdl_stack_slot *top = stack->slot;

	BUILD_BUG_ON(offsetof(struct tdl_stack_slot, sp) != 0);
	BUILD_BUG_ON(offsetof(struct tdl_stack_slot, bp) != 8);

	top->call = call;
	top->abandoned = 0;
	/* The new stack pointer is also the first argument of tdl_core_entry(). */
	asm volatile("movq	%%rbp, 8(%[top])\n\t"
		     "movq	%%rsp, (%[top])\n\t"
		     "movq	%[top], %%rsp\n\t"
		     "call	%c[entry]\n\t"
		     "popq	%%rsp\n\t"
		     : [top] "+D" (top), ASM_CALL_CONSTRAINT
		     : [entry] "i" (tdl_core_entry)
		     : "cc", "memory", "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9",
		       "r10", "r11", "r12", "r13", "r14", "r15");
	stack->slot->call = NULL;
	return stack->slot->abandoned;
}

NOKPROBE_SYMBOL(tdl_stack_enter);
TDL_STACK_SWITCH_NON_STANDARD(tdl_stack_enter);

/*
 * Leaves @stack for good, from any depth on it, in the task that has entered it. The return
 * address that the call above pushed lies just below the slot.
 *
 * It does not return, which the compiler is not told: objtool cannot see it, and would find
 * that the caller falls off its end.
 */
noinline __noclone notrace void tdl_stack_abandon(struct tdl_stack *stack)
{
	stack->slot->abandoned = 1;
	asm volatile("movq	8(%[top]), %%rbp\n\t"
		     "leaq	-8(%[top]), %%rsp\n\t"
		     ASM_RET
		     : : [top] "D" (stack->slot) : "memory");
}

NOKPROBE_SYMBOL(tdl_stack_abandon);
STACK_FRAME_NON_STANDARD(tdl_stack_abandon);
