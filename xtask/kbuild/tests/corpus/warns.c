// SPDX-License-Identifier: GPL-2.0-only
/* A variable that nobody reads. */
#include <linux/module.h>

static int __init corpus_init(void)
{
	int unused;

	return 0;
}
module_init(corpus_init);

MODULE_DESCRIPTION("Compiles with a warning");
MODULE_LICENSE("GPL");
