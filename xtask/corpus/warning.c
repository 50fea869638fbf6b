// SPDX-License-Identifier: GPL-2.0-only
/*
 * Warns while it is loaded, and goes on.
 */
#include <linux/bug.h>
#include <linux/module.h>

static int __init fault_init(void)
{
	WARN(1, "on purpose\n");
	return 0;
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
