// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds a reference to itself that nobody gives back.
 */
#include <linux/module.h>

static int __init fault_init(void)
{
	__module_get(THIS_MODULE);
	return 0;
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
