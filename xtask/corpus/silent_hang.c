// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stops its processor for ever, with interrupts off.
 */
#include <linux/irqflags.h>
#include <linux/module.h>

static int __init fault_init(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
	return 0;
}

static void __exit fault_exit(void)
{
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
