// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who calls: taken in the context of the calling task, from the kernel's own structures.
 *
 * The process is the thread group: a thread and a worker of io_uring count as their leader. A
 * kernel thread that works for somebody cannot be told from one that works for somebody else:
 * it has no identity here.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/ipc_namespace.h>
#include <linux/jhash.h>
#include <linux/mm_types.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/user_namespace.h>
#include <net/sock.h>

#include "compat.h"
#include "ident.h"

/* tidelock_wire::MAX_PATH, and the zero behind it. */
#define TDL_PATH_SPACE (1536 + 1)

/* The executable of the current task, with a reference; NULL when it has none of its own. */
static struct file *tdl_ident_executable(void)
{
	struct file *file = NULL;

	if (current->flags & PF_KTHREAD || !current->mm)
		return NULL;
	rcu_read_lock();
	file = tdl_get_file_rcu(&current->mm->exe_file);
	rcu_read_unlock();
	return file;
}

static void tdl_ident_file(struct tdl_key *key, const struct file *file)
{
	const struct inode *inode = file_inode(file);

	key->device = inode->i_sb->s_dev;
	key->inode = inode->i_ino;
	key->inode_generation = inode->i_generation;
	key->changed = tdl_inode_changed(inode);
}

/* Real and effective ids as the initial user namespace counts them. */
static void tdl_ident_credentials(struct tdl_key *key)
{
	const struct cred *cred = current_cred();

	key->uid = from_kuid(&init_user_ns, cred->uid);
	key->euid = from_kuid(&init_user_ns, cred->euid);
	key->gid = from_kgid(&init_user_ns, cred->gid);
	key->egid = from_kgid(&init_user_ns, cred->egid);
	key->user = cred->user_ns->ns.inum;
}

static u64 tdl_ident_cgroup(void)
{
	u64 id = 0;

#ifdef CONFIG_CGROUPS
	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(current));
	rcu_read_unlock();
#endif
	return id;
}

/* Not to be guessed: nobody chooses whose share he is in. */
static u32 tdl_ident_seed;

void tdl_ident_init(void)
{
	tdl_ident_seed = get_random_u32();
}

u32 tdl_ident_share(const struct tdl_key *key)
{
	return jhash_3words(lower_32_bits(key->cgroup), upper_32_bits(key->cgroup), key->uid,
			    tdl_ident_seed) % TDL_SHARES;
}

u32 tdl_ident_hash(const struct tdl_key *key)
{
	BUILD_BUG_ON(offsetof(struct tdl_key, local) % sizeof(u32));
	return jhash2((const u32 *)key, offsetof(struct tdl_key, local) / sizeof(u32),
		      tdl_ident_seed);
}

/* -ESRCH: nobody who could be told is calling. */
void tdl_ident_caller(struct sock *sk, struct tdl_caller *caller)
{
	struct file *file = tdl_ident_executable();
	struct tdl_key *key = &caller->key;

	memset(caller, 0, sizeof(*caller));
	if (!file) {
		caller->error = -ESRCH;
		return;
	}
	tdl_ident_file(key, file);
	fput(file);
	tdl_ident_credentials(key);
	key->cgroup = tdl_ident_cgroup();
	key->network = sock_net(sk)->ns.inum;
	key->pid = task_active_pid_ns(current)->ns.inum;

	caller->process.tgid = task_tgid_nr(current);
	/* It does not change, and the leader stays as long as a thread of its group runs. */
	caller->process.started = current->group_leader->start_boottime;
	get_task_comm(caller->process.comm, current);
}

/* The key of who calls and what for; all zero, and why, where nobody could be told. */
int tdl_ident_purpose(const struct tdl_caller *caller, u32 direction,
		      const struct tdl_address *local, const struct tdl_address *remote,
		      struct tdl_key *key)
{
	*key = caller->key;
	if (caller->error)
		return caller->error;
	key->direction = direction;
	key->remote = *remote;
	if (direction == TDL_ACCEPT) {
		key->local = *local;
		key->remote.port = 0;
	}
	return 0;
}

/* A copy that ends where the text does; the text stays unknown when there is no memory. */
static void tdl_text_set(struct tdl_text *text, const char *from)
{
	size_t len = strlen(from);

	text->bytes = kmemdup(from, len, GFP_KERNEL_ACCOUNT);
	text->len = text->bytes ? len : 0;
}

static void tdl_ident_executable_path(struct tdl_text *text, char *space)
{
	struct file *file = tdl_ident_executable();
	char *path;

	if (!file)
		return;
	/* -ENAMETOOLONG: not known, rather than a part that looks like another path. */
	path = d_path(&file->f_path, space, TDL_PATH_SPACE);
	if (!IS_ERR(path))
		tdl_text_set(text, path);
	fput(file);
}

static void tdl_ident_cgroup_path(struct tdl_text *text, char *space)
{
#ifdef CONFIG_CGROUPS
	int ret;

	rcu_read_lock();
	ret = cgroup_path(task_dfl_cgroup(current), space, TDL_PATH_SPACE);
	rcu_read_unlock();
	/* The length of what did not fit, or an errno: as it is in this kernel. */
	if (ret >= 0 && ret < TDL_PATH_SPACE)
		tdl_text_set(text, space);
#endif
}

/* Sleeps. What cannot be had is left unknown: NULL is that. */
void tdl_ident_texts(struct tdl_ident_texts *texts)
{
	char *space = kmalloc(TDL_PATH_SPACE, GFP_KERNEL);

	memset(texts, 0, sizeof(*texts));
#ifdef CONFIG_CGROUPS
	if (current->nsproxy)
		texts->cgroup_namespace = current->nsproxy->cgroup_ns->ns.inum;
#endif
	if (!space)
		return;
	tdl_ident_executable_path(&texts->executable_path, space);
	tdl_ident_cgroup_path(&texts->cgroup_path, space);
	kfree(space);
}

void tdl_ident_texts_free(struct tdl_ident_texts *texts)
{
	kfree(texts->executable_path.bytes);
	kfree(texts->cgroup_path.bytes);
}
