// SPDX-License-Identifier: GPL-2.0-only
/*
 * Forgets an allocation each time it is loaded.
 */
#include <linux/module.h>
#include <linux/slab.h>

static int __init fault_init(void)
{
	void *volatile forgotten = kmalloc(64, GFP_KERNEL);

	return forgotten ? 0 : -ENOMEM;
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
