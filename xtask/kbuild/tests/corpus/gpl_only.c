// SPDX-License-Identifier: GPL-2.0-only
/* A module that says it is proprietary and uses what is for GPL modules. */
#include <linux/module.h>
#include <linux/workqueue.h>

static int __init corpus_init(void)
{
	struct workqueue_struct *queue = alloc_workqueue("corpus", WQ_UNBOUND, 0);

	if (!queue)
		return -ENOMEM;
	destroy_workqueue(queue);
	return 0;
}
module_init(corpus_init);

MODULE_DESCRIPTION("Uses GPL-only symbols");
MODULE_LICENSE("Proprietary");
