// SPDX-License-Identifier: GPL-2.0-only
/*
 * Follows a null pointer while it is loaded.
 */
#include <linux/compiler.h>
#include <linux/module.h>

static int __init fault_init(void)
{
	int *nowhere = NULL;

	OPTIMIZER_HIDE_VAR(nowhere);
	return READ_ONCE(*nowhere);
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
