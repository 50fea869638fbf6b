// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Rust core's allocator.
 *
 * Every block is on a list, so that what an abandoned call had allocated can be found and
 * freed, and every block is wiped before it is freed: the core moves keys between blocks
 * when a vector grows, and cannot wipe the one it leaves.
 *
 * The list and the counters have no lock: all of this runs in the engine, which makes one
 * call at a time (engine.c). Only the counters are read by others, hence READ_ONCE() and
 * WRITE_ONCE().
 */
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sched.h>

#include "compat.h"
#include "engine.h"
#include "memory.h"
#include "tidelock_core.h"

/* More than this at once is a fault of the core, not a need: it sees an empty machine. */
#define TDL_BLOCK_MAX (4UL << 20)
/* And as a whole: what it is made to hold is bounded by who makes it, well below. */
#define TDL_MEMORY_MAX (128UL << 20)

/* Lies just below what the core gets. */
struct tdl_block {
	struct list_head node;
	void *base;		/* what the kernel gave */
	size_t total;		/* how much of it */
	size_t size;		/* what the core asked for */
};

static LIST_HEAD(tdl_blocks);
static struct tdl_memory_use tdl_use;

static void tdl_account(long blocks, long bytes)
{
	WRITE_ONCE(tdl_use.blocks, tdl_use.blocks + blocks);
	WRITE_ONCE(tdl_use.bytes, tdl_use.bytes + bytes);
	if (tdl_use.bytes > tdl_use.peak)
		WRITE_ONCE(tdl_use.peak, tdl_use.bytes);
}

void *tdl_alloc(size_t size, size_t align)
{
	struct tdl_block *block;
	size_t total;
	void *base;
	u8 *p;

	if (!tdl_engine_is_here() || !is_power_of_2(align) || align > PAGE_SIZE)
		return NULL;
	if (size > TDL_BLOCK_MAX)
		return NULL;
	align = max(align, __alignof__(struct tdl_block));
	total = sizeof(*block) + size + align - 1;
	if (tdl_use.bytes + total > TDL_MEMORY_MAX)
		return NULL;

	/* The core computes for long and does not know of the scheduler, but it allocates often. */
	cond_resched();

	/* Process context without locks: this may sleep. A small block comes from kmalloc(). */
	base = kvmalloc(total, GFP_KERNEL | __GFP_NOWARN);
	if (!base)
		return NULL;
	p = PTR_ALIGN((u8 *)base + sizeof(*block), align);
	block = (struct tdl_block *)p - 1;
	block->base = base;
	block->total = total;
	block->size = size;
	list_add(&block->node, &tdl_blocks);
	tdl_account(1, total);
	return p;
}

static void tdl_block_free(struct tdl_block *block)
{
	list_del(&block->node);
	tdl_account(-1, -(long)block->total);
	kvfree_sensitive(block->base, block->total);
}

void tdl_free(void *p, size_t size, size_t align)
{
	struct tdl_block *block = (struct tdl_block *)p - 1;

	if (!p)
		return;
	if (!tdl_engine_is_here() || block->size != size) {
		/* Our own record says what there is, so a wrong size costs nothing but trust. */
		pr_err_once("the core frees %zu bytes of a block of %zu\n", size, block->size);
		if (!tdl_engine_is_here())
			return;
	}
	tdl_block_free(block);
}

void tdl_memory_use(struct tdl_memory_use *use)
{
	use->blocks = READ_ONCE(tdl_use.blocks);
	use->bytes = READ_ONCE(tdl_use.bytes);
	use->peak = READ_ONCE(tdl_use.peak);
}

/* Frees everything, and says how many blocks that were. The core must not run again. */
unsigned long tdl_memory_release(void)
{
	unsigned long blocks = tdl_use.blocks;
	struct tdl_block *block, *next;

	list_for_each_entry_safe(block, next, &tdl_blocks, node)
		tdl_block_free(block);
	return blocks;
}

/* After the engine has stopped, and all that was held for the core was given back. */
void tdl_memory_exit(void)
{
	unsigned long bytes = tdl_use.bytes;
	unsigned long blocks = tdl_memory_release();

	if (blocks)
		pr_err("the core leaked %lu blocks of %lu bytes\n", blocks, bytes);
}
