// SPDX-License-Identifier: GPL-2.0-only
/* Nothing is wrong with this one. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

static const struct file_operations corpus_fops = {
	.owner = THIS_MODULE,
};

static struct miscdevice corpus_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "corpus",
	.fops = &corpus_fops,
};

module_misc_device(corpus_device);

MODULE_DESCRIPTION("A module with nothing wrong");
MODULE_LICENSE("GPL");
