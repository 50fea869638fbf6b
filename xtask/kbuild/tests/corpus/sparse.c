// SPDX-License-Identifier: GPL-2.0-only
/* A user's pointer is followed as if it were ours: sparse sees it, the compiler does not. */
#include <linux/module.h>

static int corpus_value;
static int __user *corpus_pointer;

static int __init corpus_init(void)
{
	corpus_pointer = &corpus_value;
	return 0;
}
module_init(corpus_init);

MODULE_DESCRIPTION("Mixes address spaces");
MODULE_LICENSE("GPL");
