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
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/rcupdate_wait.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "ask.h"
#include "compat.h"
#include "conn.h"
#include "connect.h"
#include "held.h"
#include "hook.h"
#include "ops.h"
#include "policy.h"
#include "recall.h"
#include "session.h"
#include "withdraw.h"

/* In jiffies: for all of it, and for accepting what has its verdict already. */
#define TDL_PATIENCE (10 * HZ)
#define TDL_LAST_ORDERS (5 * HZ)

struct tdl_withdrawal {
	struct work_struct pass;
	struct list_head gone;	/* given back, each with the reference that the table had */
	unsigned long began;
	bool found;		/* something that was not given back before */
	unsigned int kept;	/* so many stay */
};

/* Taken by who publishes or withdraws; outermost. */
static DEFINE_MUTEX(tdl_withdraw_mutex);
static bool tdl_withdraw_ready;		/* loaded, and not on the way out; under the mutex */

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

/* A listener whose connections have their verdicts: the mode is off, so it may have them all. */
static bool tdl_withdraw_last_orders(struct tdl_conn *conn, const struct tdl_withdrawal *w)
{
	if (!READ_ONCE(conn->held_count) || time_after(jiffies, w->began + TDL_LAST_ORDERS))
		return false;
	conn->sk->sk_data_ready(conn->sk);
	return true;
}

/* The caller has the socket's file: it is not released meanwhile. */
static void tdl_withdraw_socket(struct tdl_conn *conn, struct tdl_withdrawal *w)
{
	/* It accepts from it without asking us: its new socket has no reference before. */
	if (READ_ONCE(conn->kernels)) {
		w->kept++;
		return;
	}
	/* What is under way has its verdict, for all have: the work sends the SYN. */
	w->found = true;
	if (tdl_withdraw_last_orders(conn, w) || !tdl_ops_give_back(conn))
		return;
	tdl_connect_cancel(conn);
	/* The kernel does not know what is held: those peers are reset. */
	tdl_held_cancel(conn);
	if (tdl_conn_take_out(conn))
		list_add(&conn->leaving, &w->gone);
	/* Nobody sleeps in an operation of ours, nor for what only we would have told him. */
	tdl_recall(conn->sk);
	if (READ_ONCE(conn->sk->sk_state) == TCP_LISTEN)
		conn->sk->sk_data_ready(conn->sk);
}

static void tdl_withdraw_one(struct tdl_conn *conn, void *data)
{
	struct tdl_withdrawal *w = data;
	struct file *file;

	/* Given up by who made it: swept. */
	if (!READ_ONCE(conn->sk->sk_socket)) {
		if (tdl_conn_take_out(conn))
			tdl_conn_put(conn);
		return;
	}
	file = tdl_withdraw_file(conn->sk);
	/* Being made or released: its turn comes, or it is gone. */
	if (!file) {
		w->found = true;
		return;
	}
	tdl_withdraw_socket(conn, w);
	fput(file);
}

/* In a worker: should ours be the last reference of a file, it is not the writer's to release. */
static void tdl_withdraw_pass(struct work_struct *work)
{
	struct tdl_withdrawal *w = container_of(work, struct tdl_withdrawal, pass);

	w->found = false;
	w->kept = 0;
	tdl_conns_each(tdl_withdraw_one, w);
}

/* Whether nobody is in an operation of what is gone; who sleeps there is recalled. */
static bool tdl_withdraw_is_alone(struct tdl_withdrawal *w)
{
	struct tdl_conn *conn;
	bool alone = true;

	list_for_each_entry(conn, &w->gone, leaving) {
		if (refcount_read(&conn->refs) == 1)
			continue;
		alone = false;
		tdl_recall(conn->sk);
	}
	return alone;
}

/* 0, or why to give up. */
static int tdl_withdraw_pause(const struct tdl_withdrawal *w)
{
	if (time_after(jiffies, w->began + TDL_PATIENCE))
		return -EBUSY;
	schedule_timeout_killable(1);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static int tdl_withdraw_all(struct tdl_withdrawal *w)
{
	bool more;
	int ret = 0;

	do {
		queue_work(tdl_sockets_wq, &w->pass);
		flush_work(&w->pass);
		/* Who is still in accept() may add one more. */
		more = !tdl_withdraw_is_alone(w) || w->found || tdl_conns_count() > w->kept;
		if (more)
			ret = tdl_withdraw_pause(w);
	} while (more && !ret);
	return !ret && w->kept ? -EBUSY : ret;
}

/*
 * The references of what is gone, to be given up last: until every task has been through a
 * voluntary switch, somebody may have read our operations of a listener and be about to take a
 * reference of his own for its new socket.
 */
static void tdl_withdraw_release(struct tdl_withdrawal *w)
{
	struct tdl_conn *conn, *next;
	unsigned int bare;

	synchronize_rcu_tasks();
	list_for_each_entry_safe(conn, next, &w->gone, leaving) {
		list_del_init(&conn->leaving);
		/*
		 * Up to 6.6 accept() reads the operations twice: who read ours for the new socket,
		 * and the kernel's to sleep in, keeps a reference until somebody connects.
		 */
		if (READ_ONCE(conn->sk->sk_state) == TCP_LISTEN)
			tdl_recall(conn->sk);
		tdl_conn_put(conn);
	}
	/* Such new sockets, by now. */
	bare = tdl_hook_give_back_bare();
	if (bare)
		synchronize_rcu_tasks();
	for (; bare; bare--)
		module_put(THIS_MODULE);
}

/*
 * A task that was recalled from accept() still has the new socket it had brought, for a moment:
 * waits until that is gone, so that unloading works at once. Others may keep the module for good
 * (who traces it): that is for unloading to say.
 */
static void tdl_withdraw_settle(void)
{
	int i;

	for (i = 0; i < HZ; i++) {
		if (module_refcount(THIS_MODULE) <= (tdl_session_is_open() ? 1 : 0))
			return;
		schedule_timeout_killable(1);
	}
}

static int tdl_withdraw(void)
{
	struct tdl_withdrawal w = {
		.gone = LIST_HEAD_INIT(w.gone),
		.began = jiffies,
	};
	int ret;

	if (!tdl_hook_is_withdrawn()) {
		pr_notice("withdrawn: no connection is decided until 0 is written\n");
		tdl_policy_suspend(true);
		tdl_hook_withdraw();
	}
	tdl_asks_end();
	INIT_WORK_ONSTACK(&w.pass, tdl_withdraw_pass);
	ret = tdl_withdraw_all(&w);
	destroy_work_on_stack(&w.pass);
	tdl_withdraw_release(&w);
	if (ret)
		pr_notice("some sockets could not be given back: %d\n", ret);
	else
		tdl_withdraw_settle();
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
	/* Root in a container may be able to write here, and does not rule the host. */
	if (!capable(CAP_SYS_MODULE))
		return -EPERM;
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
