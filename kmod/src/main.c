// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading. What others can reach is published last and withdrawn first.
 */
#include <linux/module.h>

#include "device.h"
#include "engine.h"

static int __init tdl_init(void)
{
	int ret = tdl_engine_init();

	if (ret)
		return ret;
	ret = tdl_device_init();
	if (ret)
		tdl_engine_exit();
	return ret;
}
module_init(tdl_init);

static void __exit tdl_exit(void)
{
	tdl_device_exit();
	tdl_engine_exit();
}
module_exit(tdl_exit);

MODULE_DESCRIPTION("Workload identity in the kernel");
MODULE_AUTHOR("The Tidelock authors");
MODULE_LICENSE("GPL");
#ifdef TIDELOCK_VERSION
MODULE_VERSION(TIDELOCK_VERSION);
#endif
