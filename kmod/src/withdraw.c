// SPDX-License-Identifier: GPL-2.0-only
/*
 * Giving all sockets back to the kernel while they are in use, so that the module can be unloaded
 * or replaced under traffic:
 *
 *	echo 1 > /sys/module/tidelock/parameters/withdrawn && rmmod tidelock
 *
 * For as long as it is withdrawn the mode is off. Connections go on, and who sleeps in one of our
 * operations calls again (recall.c). Writing 0 takes all sockets back, under the mode that is set.
 *
 * What cannot be given back keeps the module, and unloading it is refused as ever: a socket that
 * a service in the kernel has accepted from a listener of user space's, or one in which somebody
 * stays.
 */
#include <linux/file.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <net/sock.h>

#include "accept.h"
#include "ask.h"
#include "compat.h"
#include "conn.h"
#include "connect.h"
#include "hook.h"
#include "ops.h"
#include "policy.h"
#include "recall.h"
#include "withdraw.h"

/* Entries that are looked at between two walks over the table. */
#define TDL_BATCH 64
/* Rounds without progress, and in a round for one socket: of a tick each. */
#define TDL_ROUNDS 100
#define TDL_PATIENCE 10

struct tdl_batch {
	struct tdl_conn *conns[TDL_BATCH];
	unsigned int count;
	unsigned int round;
};

/* Taken by who publishes or withdraws; outermost. */
static DEFINE_MUTEX(tdl_withdraw_mutex);
static bool tdl_withdraw_ready;		/* loaded, and not on the way out; under the mutex */
static unsigned int tdl_withdraw_rounds;	/* so far: each has a number of its own */

/* With a reference to each entry. */
static bool tdl_withdraw_collect(struct tdl_conn *conn, void *data)
{
	struct tdl_batch *batch = data;

	if (conn->tried == batch->round || !refcount_inc_not_zero(&conn->refs))
		return true;
	conn->tried = batch->round;
	batch->conns[batch->count++] = conn;
	return batch->count < TDL_BATCH;
}

/* The socket's file, which keeps it from being released; NULL when it has none, or is released. */
static struct file *tdl_withdraw_file(struct sock *sk)
{
	struct file *file = NULL;

	rcu_read_lock();
	/* Releasing takes the socket away under this lock, and frees it after a grace period. */
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket)
		file = tdl_get_file_active(&sk->sk_socket->file);
	read_unlock_bh(&sk->sk_callback_lock);
	rcu_read_unlock();
	return file;
}

/* Whether nobody has the entry but the table and the caller: nobody is in an operation of ours. */
static bool tdl_withdraw_await(struct tdl_conn *conn)
{
	int i;

	for (i = 0; i < TDL_PATIENCE; i++) {
		if (refcount_read(&conn->refs) == 2)
			return true;
		tdl_recall(conn->sk);
		schedule_timeout_uninterruptible(1);
	}
	return false;
}

/* Whether the socket is the kernel's now. The caller has its file. */
static bool tdl_withdraw_one(struct tdl_conn *conn)
{
	/* Its verdict is in, for all are: let the work send the SYN. */
	flush_work(&conn->work);
	if (!tdl_ops_give_back(conn))
		return false;
	tdl_connect_cancel(conn);
	/* The kernel does not know what is held: those peers are reset. */
	tdl_accept_cancel(conn);
	if (!tdl_withdraw_await(conn))
		return false;
	tdl_conn_forget(conn);
	return true;
}

static bool tdl_withdraw_batch(struct tdl_batch *batch)
{
	bool progress = false;
	unsigned int i;

	for (i = 0; i < batch->count; i++) {
		struct tdl_conn *conn = batch->conns[i];
		struct file *file = tdl_withdraw_file(conn->sk);

		if (file) {
			progress |= tdl_withdraw_one(conn);
			fput(file);
		}
		tdl_conn_put(conn);
	}
	return progress;
}

/* Once all that are in the table. Whether the table was empty, or something has changed. */
static bool tdl_withdraw_round(struct tdl_batch *batch, bool *progress)
{
	bool empty = true;

	*progress = false;
	batch->round++;
	tdl_conns_sweep_all();
	do {
		batch->count = 0;
		tdl_conns_visit(tdl_withdraw_collect, batch);
		if (batch->count)
			empty = false;
		*progress |= tdl_withdraw_batch(batch);
		cond_resched();
	} while (batch->count);
	return empty;
}

static int tdl_withdraw_all(void)
{
	struct tdl_batch *batch = kzalloc(sizeof(*batch), GFP_KERNEL);
	unsigned int idle = 0;
	bool empty, progress;

	if (!batch)
		return -ENOMEM;
	batch->round = tdl_withdraw_rounds;
	do {
		empty = tdl_withdraw_round(batch, &progress);
		idle = progress ? 0 : idle + 1;
		/* One that is being made or released: its turn comes. */
		if (!empty && !progress)
			schedule_timeout_uninterruptible(1);
	} while (!empty && idle < TDL_ROUNDS);
	tdl_withdraw_rounds = batch->round;
	kfree(batch);
	return empty ? 0 : -EBUSY;
}

static int tdl_withdraw(void)
{
	int ret;

	if (!tdl_hook_is_withdrawn()) {
		pr_notice("withdrawn: no connection is decided until 0 is written\n");
		tdl_policy_suspend(true);
		tdl_hook_withdraw();
	}
	tdl_asks_end();
	ret = tdl_withdraw_all();
	if (ret)
		pr_notice("some sockets could not be given back: %d\n", ret);
	return ret;
}

static void tdl_withdraw_undo(void)
{
	if (!tdl_hook_is_withdrawn())
		return;
	tdl_asks_resume();
	tdl_hook_publish();
	/* Last: until here nobody is refused for what has not been decided. */
	tdl_policy_suspend(false);
	pr_notice("connections are decided again\n");
}

static int tdl_withdraw_set(const char *text, const struct kernel_param *kp)
{
	bool withdraw;
	int ret = kstrtobool(text, &withdraw);

	if (ret)
		return ret;
	mutex_lock(&tdl_withdraw_mutex);
	/* As a parameter of loading, or while it is unloaded. */
	if (!tdl_withdraw_ready)
		ret = -EBUSY;
	else if (withdraw)
		ret = tdl_withdraw();
	else
		tdl_withdraw_undo();
	mutex_unlock(&tdl_withdraw_mutex);
	return ret;
}

static int tdl_withdraw_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%c\n", tdl_hook_is_withdrawn() ? 'Y' : 'N');
}

static const struct kernel_param_ops tdl_withdraw_ops = {
	.set = tdl_withdraw_set,
	.get = tdl_withdraw_get,
};

module_param_cb(withdrawn, &tdl_withdraw_ops, NULL, 0600);
MODULE_PARM_DESC(withdrawn, "Write 1 before unloading: all sockets go back to the kernel, the mode is off");

/* The last step of loading. */
void tdl_withdraw_init(void)
{
	mutex_lock(&tdl_withdraw_mutex);
	tdl_hook_publish();
	tdl_withdraw_ready = true;
	mutex_unlock(&tdl_withdraw_mutex);
}

/* The first step of unloading: no socket is ours, and none becomes it. */
void tdl_withdraw_exit(void)
{
	mutex_lock(&tdl_withdraw_mutex);
	tdl_withdraw_ready = false;
	tdl_hook_leave();
	mutex_unlock(&tdl_withdraw_mutex);
}
