// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in force: the mode, the policy's generation, the deadline and the exempt prefixes.
 *
 * The daemon sets it as a whole and it stays as it is, also when the daemon goes, until it is
 * set again or the module is unloaded. Before the daemon has spoken for the first time nothing
 * is in force, unless the module was loaded with enforce=1.
 *
 * Readers use RCU, in any context; the one writer is the engine, which does one thing at a time.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "policy.h"

#define TDL_DEADLINE_MS 5000

static bool enforce;
module_param(enforce, bool, 0444);
MODULE_PARM_DESC(enforce, "Refuse what nobody has decided, from loading on (default: from the daemon's word on)");

struct tdl_policy {
	struct rcu_head rcu;
	u64 generation;
	u32 mode;
	u32 deadline_ms;
	u32 exempt_count;
	struct tdl_prefix exempt[TDL_EXEMPT_MAX];
};

static struct tdl_policy __rcu *tdl_policy;
static bool tdl_policy_suspended;
static atomic64_t tdl_policy_epochs = ATOMIC64_INIT(1);
static struct pid __rcu *tdl_daemon;

u32 tdl_policy_mode(void)
{
	u32 mode;

	if (READ_ONCE(tdl_policy_suspended))
		return TDL_OFF;
	rcu_read_lock();
	mode = rcu_dereference(tdl_policy)->mode;
	rcu_read_unlock();
	return mode;
}

/* The mode is off for as long, whatever the daemon says meanwhile. */
void tdl_policy_suspend(bool suspend)
{
	WRITE_ONCE(tdl_policy_suspended, suspend);
	atomic64_inc(&tdl_policy_epochs);
}

/*
 * Changes with whatever is in force: a verdict that was come to before, in another mode or with
 * other prefixes, is none now.
 */
u64 tdl_policy_epoch(void)
{
	return atomic64_read(&tdl_policy_epochs);
}

u64 tdl_policy_generation(void)
{
	u64 generation;

	rcu_read_lock();
	generation = rcu_dereference(tdl_policy)->generation;
	rcu_read_unlock();
	return generation;
}

u32 tdl_policy_deadline_ms(void)
{
	u32 deadline;

	rcu_read_lock();
	deadline = rcu_dereference(tdl_policy)->deadline_ms;
	rcu_read_unlock();
	return deadline;
}

static bool tdl_prefix_holds(const struct tdl_prefix *prefix, const struct tdl_address *address)
{
	unsigned int whole = prefix->length / 8;
	unsigned int rest = prefix->length % 8;
	u8 mask = 0xff << (8 - rest);

	if (prefix->family != address->family)
		return false;
	if (memcmp(prefix->bytes, address->bytes, whole))
		return false;
	return !rest || !((prefix->bytes[whole] ^ address->bytes[whole]) & mask);
}

bool tdl_policy_exempts(const struct tdl_address *remote)
{
	const struct tdl_policy *policy;
	bool exempt = false;
	u32 i;

	rcu_read_lock();
	policy = rcu_dereference(tdl_policy);
	for (i = 0; i < policy->exempt_count && !exempt; i++)
		exempt = tdl_prefix_holds(&policy->exempt[i], remote);
	rcu_read_unlock();
	return exempt;
}

static int tdl_policy_publish(const struct tdl_policy *values)
{
	struct tdl_policy *policy = kmemdup(values, sizeof(*values), GFP_KERNEL);
	struct tdl_policy *old;

	if (!policy)
		return -ENOMEM;
	/* The engine, or loading: one writer at a time. */
	old = rcu_replace_pointer(tdl_policy, policy, true);
	atomic64_inc(&tdl_policy_epochs);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

/* The core has checked the numbers in the order. */
int tdl_policy_configure(const struct tdl_order *order)
{
	struct tdl_policy policy = {
		.generation = order->generation,
		.mode = order->mode,
		.deadline_ms = order->deadline_ms,
		.exempt_count = min_t(u32, order->exempt_count, TDL_EXEMPT_MAX),
	};

	memcpy(policy.exempt, order->exempt, sizeof(policy.exempt));
	return tdl_policy_publish(&policy);
}

void tdl_policy_set_daemon(void)
{
	/* The device has one opener at a time: nobody else writes. */
	rcu_assign_pointer(tdl_daemon, get_pid(task_tgid(current)));
}

void tdl_policy_clear_daemon(void)
{
	struct pid *old = rcu_replace_pointer(tdl_daemon, NULL, true);

	/* A comparison that still sees it does not follow it. */
	put_pid(old);
}

bool tdl_policy_is_daemon(void)
{
	/* Compared, never followed. A pid that we hold is nobody else's. */
	return rcu_access_pointer(tdl_daemon) == task_tgid(current);
}

int tdl_policy_init(void)
{
	const struct tdl_policy policy = {
		.mode = enforce ? TDL_ENFORCE : TDL_OFF,
		.deadline_ms = TDL_DEADLINE_MS,
	};

	return tdl_policy_publish(&policy);
}

/* Nobody reads it any more. */
void tdl_policy_exit(void)
{
	kfree(rcu_dereference_protected(tdl_policy, true));
}
