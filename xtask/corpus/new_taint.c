// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taints the kernel by more than being out of tree and unsigned.
 */
#include <linux/kernel.h>
#include <linux/module.h>

static int __init fault_init(void)
{
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	return 0;
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
