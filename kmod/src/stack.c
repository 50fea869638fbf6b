// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a private stack: guarded, painted, measured, wiped.
 *
 * vmalloc() keeps an unmapped page between any two areas, and the lowest address of an area
 * follows the gap of its neighbour, so an overrun faults as it does on a kernel stack, which
 * comes from the same allocator.
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "stack.h"
#include "tidelock_core.h"

#if defined(CONFIG_KASAN) && !defined(CONFIG_KASAN_VMALLOC)
#error "tidelock: KASAN without KASAN_VMALLOC has no shadow for the private stack"
#endif

/* Unlikely in keys, pointers, lengths and zeroed memory. */
#define TDL_PAINT 0x7464736b62616c21ULL

static u64 *tdl_stack_first(const struct tdl_stack *stack)
{
	return (u64 *)stack->base;
}

static u64 *tdl_stack_end(const struct tdl_stack *stack)
{
	return (u64 *)stack->slot;
}

int tdl_stack_init(struct tdl_stack *stack)
{
	BUILD_BUG_ON(sizeof(struct tdl_stack_slot) % 16);
	BUILD_BUG_ON(TDL_CORE_STACK % PAGE_SIZE);

	stack->base = vmalloc(TDL_CORE_STACK);
	if (!stack->base)
		return -ENOMEM;
	stack->slot = (struct tdl_stack_slot *)(stack->base + TDL_CORE_STACK) - 1;
	memset(stack->slot, 0, sizeof(*stack->slot));
	memset64(tdl_stack_first(stack), TDL_PAINT,
		 tdl_stack_end(stack) - tdl_stack_first(stack));
	return 0;
}

static bool tdl_stack_is_paint(const u64 *p, const u64 *end)
{
	for (; p < end; p++)
		if (*p != TDL_PAINT)
			return false;
	return true;
}

void tdl_stack_exit(struct tdl_stack *stack)
{
	/* Were it not so, keys could stay behind: what is said of TDL_UNTOUCHED would be wrong. */
	if (stack->base && !tdl_stack_is_paint(tdl_stack_first(stack), tdl_stack_end(stack))) {
		pr_crit("the core's stack was used below what was seen to be used\n");
		memzero_explicit(stack->base, TDL_CORE_STACK);
	}
	vfree(stack->base);
	stack->base = NULL;
	stack->slot = NULL;
}

bool tdl_stack_holds(const struct tdl_stack *stack, const void *p)
{
	return p >= (const void *)stack->base && p < (const void *)stack->slot;
}

/*
 * The core is compiled with stack probes: a frame of more than 4 KiB writes a word for each as it
 * is made, and each call writes where it returns to. So nothing was used below a stretch of paint
 * that is longer; this is twice that.
 */
#define TDL_UNTOUCHED 8192

static bool tdl_stack_is_painted(const u64 *p)
{
	return p[0] == TDL_PAINT && p[1] == TDL_PAINT && p[2] == TDL_PAINT && p[3] == TDL_PAINT &&
	       p[4] == TDL_PAINT && p[5] == TDL_PAINT && p[6] == TDL_PAINT && p[7] == TDL_PAINT;
}

/*
 * Says how many bytes were used since the last call, and paints them again. The paint also
 * wipes what the core left behind, keys among it, after an abandoned call in particular.
 */
size_t tdl_stack_clean(struct tdl_stack *stack)
{
	u64 *first = tdl_stack_first(stack);
	u64 *end = tdl_stack_end(stack);
	u64 *used = end;
	u64 *p = end;

	/* After each call, and most of it is paint: eight at a time, and no deeper than need be. */
	while (p - first >= 8 && (u8 *)used - (u8 *)p < TDL_UNTOUCHED) {
		p -= 8;
		if (!tdl_stack_is_painted(p))
			used = p;
	}
	/* It does not begin with a whole eight. */
	if (p - first < 8 && !tdl_stack_is_paint(first, p))
		used = first;
	while (used < end && *used == TDL_PAINT)
		used++;
	memset64(used, TDL_PAINT, end - used);
	return (u8 *)end - (u8 *)used;
}
