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

void tdl_stack_exit(struct tdl_stack *stack)
{
	vfree(stack->base);
	stack->base = NULL;
	stack->slot = NULL;
}

bool tdl_stack_holds(const struct tdl_stack *stack, const void *p)
{
	return p >= (const void *)stack->base && p < (const void *)stack->slot;
}

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
	u64 *end = tdl_stack_end(stack);
	u64 *p = tdl_stack_first(stack);

	/* Most of it is paint, and it is looked at after each call: eight at a time. */
	while (end - p >= 8 && tdl_stack_is_painted(p))
		p += 8;
	while (p < end && *p == TDL_PAINT)
		p++;
	memset64(p, TDL_PAINT, end - p);
	return (u8 *)end - (u8 *)p;
}
