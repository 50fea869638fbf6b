// SPDX-License-Identifier: GPL-2.0-only
/* Destroys a register of whichever program was running. */
#include <linux/module.h>

static int __init corpus_init(void)
{
	asm volatile("pxor %%xmm3, %%xmm3" : : : "memory");
	return 0;
}
module_init(corpus_init);

MODULE_DESCRIPTION("Uses an SSE register");
MODULE_LICENSE("GPL");
