// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading. What others can reach is published last and withdrawn first.
 */
#include <linux/module.h>

#include "ask.h"
#include "cache.h"
#include "device.h"
#include "engine.h"
#include "filter.h"
#include "hook.h"
#include "ident.h"
#include "policy.h"
#include "shake.h"
#include "svid.h"
#include "table.h"
#include "terms.h"
#include "trust.h"
#include "withdraw.h"

static int __init tdl_init(void)
{
	int ret;

	tdl_ident_init();
	tdl_terms_init();
	tdl_svids_init();
	ret = tdl_policy_init();
	if (ret)
		return ret;
	ret = tdl_engine_init();
	if (ret)
		goto policy;
	ret = tdl_cache_init();
	if (ret)
		goto engine;
	ret = tdl_asks_init();
	if (ret)
		goto cache;
	ret = tdl_shakes_init();
	if (ret)
		goto asks;
	ret = tdl_hook_init();
	if (ret)
		goto shakes;
	ret = tdl_table_init();
	if (ret)
		goto hook;
	ret = tdl_filter_init();
	if (ret)
		goto table;
	/* The last that can fail: somebody may open it at once, and keep the module. */
	ret = tdl_device_init();
	if (ret)
		goto filter;
	tdl_withdraw_init();
	return 0;

filter:
	tdl_filter_exit();
table:
	tdl_table_exit();
hook:
	tdl_hook_exit();
shakes:
	tdl_shakes_exit();
asks:
	tdl_asks_exit();
cache:
	tdl_cache_exit();
engine:
	tdl_engine_exit();
policy:
	tdl_policy_exit();
	return ret;
}
module_init(tdl_init);

/* Nobody has the device open, and no socket is ours: both keep the module. */
static void __exit tdl_exit(void)
{
	tdl_withdraw_exit();
	tdl_device_exit();
	tdl_filter_exit();
	tdl_table_exit();
	/* In permissive mode questions outlive who made them be asked. */
	tdl_asks_end();
	tdl_hook_exit();
	tdl_shakes_exit();
	tdl_asks_exit();
	tdl_cache_exit();
	tdl_svids_exit();
	tdl_trust_exit();
	tdl_engine_exit();
	tdl_policy_exit();
}
module_exit(tdl_exit);

MODULE_DESCRIPTION("Workload identity in the kernel");
MODULE_AUTHOR("The Tidelock authors");
MODULE_LICENSE("GPL");
#ifdef TIDELOCK_VERSION
MODULE_VERSION(TIDELOCK_VERSION);
#endif
