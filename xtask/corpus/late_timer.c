// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leaves a timer armed when it is unloaded. It has the device that the tests of loading look for.
 */
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/timer.h>

#define FAULT_DELAY_MS 500

static void fault_fire(struct timer_list *timer)
{
}

static DEFINE_TIMER(fault_timer, fault_fire);

static const struct file_operations fault_fops = {
	.owner = THIS_MODULE,
};

static struct miscdevice fault_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tidelock",
	.fops = &fault_fops,
	.mode = 0600,
};

static int __init fault_init(void)
{
	mod_timer(&fault_timer, jiffies + msecs_to_jiffies(FAULT_DELAY_MS));
	return misc_register(&fault_device);
}

static void __exit fault_exit(void)
{
	misc_deregister(&fault_device);
}

module_init(fault_init);
module_exit(fault_exit);

MODULE_DESCRIPTION("A faulty module the factory must find out");
MODULE_LICENSE("GPL");
