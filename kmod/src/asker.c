// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who wants something decided, and what for: all that the daemon is told of him, in a question for
 * a verdict and in a request for an SVID.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/kdev_t.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "asker.h"

/* In the context of who asks; sleeps. NULL when there is no memory. */
struct tdl_asker *tdl_asker_new(const struct tdl_key *key, const struct tdl_process *process,
				const struct tdl_address *local,
				const struct tdl_address *remote)
{
	/* Charged to who makes us ask. */
	struct tdl_asker *asker = kzalloc(sizeof(*asker), GFP_KERNEL_ACCOUNT);

	if (!asker)
		return NULL;
	refcount_set(&asker->refs, 1);
	asker->pid = get_pid(task_tgid(current));
	asker->key = *key;
	asker->process = *process;
	asker->local = *local;
	asker->remote = *remote;
	tdl_ident_texts(&asker->texts);
	return asker;
}

struct tdl_asker *tdl_asker_get(struct tdl_asker *asker)
{
	refcount_inc(&asker->refs);
	return asker;
}

void tdl_asker_put(struct tdl_asker *asker)
{
	if (!refcount_dec_and_test(&asker->refs))
		return;
	tdl_ident_texts_free(&asker->texts);
	put_pid(asker->pid);
	kfree(asker);
}

/* Whether a thread of the process has not ended yet. One that nobody has waited for has. */
bool tdl_asker_lives(const struct tdl_asker *asker)
{
	struct task_struct *leader;
	bool lives;

	rcu_read_lock();
	leader = pid_task(asker->pid, PIDTYPE_TGID);
	/* The task, and what it points to there, is freed after a grace period. */
	lives = leader && atomic_read(&leader->signal->live);
	rcu_read_unlock();
	return lives;
}

/*
 * Whether it lives and, as far as others can see, is who it was: its user and its control group.
 * What it executes only the daemon sees.
 */
bool tdl_asker_is_unchanged(const struct tdl_asker *asker)
{
	struct task_struct *leader;
	const struct cred *cred;
	bool same = false;

	rcu_read_lock();
	leader = pid_task(asker->pid, PIDTYPE_TGID);
	if (leader && atomic_read(&leader->signal->live)) {
		cred = __task_cred(leader);
		same = from_kuid(&init_user_ns, cred->uid) == asker->key.uid &&
		       from_kuid(&init_user_ns, cred->euid) == asker->key.euid &&
		       from_kgid(&init_user_ns, cred->gid) == asker->key.gid &&
		       from_kgid(&init_user_ns, cred->egid) == asker->key.egid;
#ifdef CONFIG_CGROUPS
		same = same && cgroup_id(task_dfl_cgroup(leader)) == asker->key.cgroup;
#endif
	}
	rcu_read_unlock();
	return same;
}

/* Whether it is this process. */
bool tdl_asker_is(const struct tdl_asker *asker, const struct tdl_process *process)
{
	return asker->process.tgid == process->tgid && asker->process.started == process->started;
}

/* Whether it can be asked about in place of who has this identity now. */
bool tdl_asker_fits(const struct tdl_asker *asker, const struct tdl_key *key)
{
	return !memcmp(&asker->key, key, offsetof(struct tdl_key, local)) && tdl_asker_lives(asker);
}

/* What the core is to tell the daemon. The texts stay the asker's. */
void tdl_asker_describe(const struct tdl_asker *asker, struct tdl_ask_facts *facts)
{
	*facts = (struct tdl_ask_facts){
		.started = asker->process.started,
		.inode = asker->key.inode,
		.changed = asker->key.changed,
		.cgroup = asker->key.cgroup,
		.executable_path = asker->texts.executable_path,
		.cgroup_path = asker->texts.cgroup_path,
		.local = asker->local,
		.remote = asker->remote,
		.direction = asker->key.direction,
		.tgid = asker->process.tgid,
		.uid = asker->key.uid,
		.euid = asker->key.euid,
		.gid = asker->key.gid,
		.egid = asker->key.egid,
		.major = MAJOR(asker->key.device),
		.minor = MINOR(asker->key.device),
		.generation = asker->key.inode_generation,
		.network = asker->key.network,
		.pid = asker->key.pid,
		.user = asker->key.user,
		.cgroup_namespace = asker->texts.cgroup_namespace,
	};
	/* The verdict is for all ports of a peer that connects. */
	facts->remote.port = asker->key.remote.port;
	memcpy(facts->comm, asker->process.comm, sizeof(facts->comm));
}
