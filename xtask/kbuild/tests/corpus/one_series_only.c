// SPDX-License-Identifier: GPL-2.0-only
/* class_create() took the owner too until Linux 6.4. */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/module.h>

static struct class *corpus_class;

static int __init corpus_init(void)
{
	corpus_class = class_create(THIS_MODULE, "corpus");
	return PTR_ERR_OR_ZERO(corpus_class);
}
module_init(corpus_init);

static void __exit corpus_exit(void)
{
	class_destroy(corpus_class);
}
module_exit(corpus_exit);

MODULE_DESCRIPTION("Compiles up to Linux 6.3");
MODULE_LICENSE("GPL");
